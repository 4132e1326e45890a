import { join } from 'node:path';
import { fail, ok, type Result } from '../oci/result.ts';

/** Where the daemon of a data directory is asked. Only {@link socketPathOf} makes one. */
export type SocketPath = string & { readonly __brand: 'SocketPath' };

export interface SocketPathTooLong {
  /** A sentence that names the path and what to change. */
  readonly reason: string;
}

/** unix(7), `sun_path`: 108 bytes, the last of them zero. What is longer would be cut off without a word. */
const maxSocketPathBytes = 107;

export function socketPathOf(dataPath: string): Result<SocketPath, SocketPathTooLong> {
  const path = join(dataPath, 'entrepot.sock');
  const bytes = Buffer.byteLength(path);
  if (bytes <= maxSocketPathBytes) return ok(path as SocketPath);
  return fail({
    reason: `the path of the socket, ${path}, has ${bytes} bytes and a socket's may have ${maxSocketPathBytes}: choose a shorter storage.path`,
  });
}
