import { once } from 'node:events';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import {
  type Collected,
  type ImageListing,
  type Operations,
  type Pin,
  Refused,
  type Status,
  type Verified,
} from '../../src/admin/operations.ts';
import { type AdminServer, serveAdmin } from '../../src/admin/server.ts';
import { type SocketPath, socketPathOf } from '../../src/admin/socket-path.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { createLogger } from '../../src/ops/logger.ts';

export const gibibyte = 1024 ** 3;

export const soundStatus: Status = {
  version: '1.2.3',
  url: 'http://127.0.0.1:5000',
  startedAt: '2026-01-01T00:00:00.000Z',
  cache: { bytes: 12.5 * gibibyte, limit: 50 * gibibyte, blobs: 1234, pinnedBytes: 2 * gibibyte },
  hosted: { bytes: 3 * gibibyte, blobs: 12 },
  disk: { freeBytes: 100 * gibibyte, minFree: 5 * gibibyte },
  fillsInFlight: 3,
  reconciled: true,
  recovery: null,
};

export function image(parts: Partial<ImageListing> = {}): ImageListing {
  return {
    repository: 'docker.io/library/alpine',
    hosted: false,
    tag: '3.20',
    digest: digestOf(Buffer.from('alpine')),
    mediaType: 'application/vnd.oci.image.index.v1+json',
    bytes: 3 * 1024 * 1024,
    complete: true,
    platforms: ['linux/amd64'],
    usedAt: '2026-01-01T00:00:00.000Z',
    pinned: false,
    ...parts,
  };
}

/** What a daemon would do, to be changed by each test. */
class FakeOperations implements Operations {
  stored: readonly ImageListing[] = [];
  pinned: Pin[] = [{ pattern: 'library/*', from: 'configuration' }];
  currentStatus: Status = soundStatus;

  status(): Promise<Status> {
    return Promise.resolve(this.currentStatus);
  }

  async *images(): AsyncGenerator<ImageListing> {
    for (const one of this.stored) yield await Promise.resolve(one);
  }

  pins(): Promise<readonly Pin[]> {
    return Promise.resolve(this.pinned);
  }

  pin(pattern: string): Promise<readonly Pin[]> {
    if (pattern.startsWith('/')) return Promise.reject(new Refused(`${pattern} is no pattern`));
    this.pinned.push({ pattern, from: 'command' });
    return Promise.resolve(this.pinned);
  }

  unpin(pattern: string): Promise<readonly Pin[]> {
    if (!this.pinned.some((pin) => pin.pattern === pattern)) {
      return Promise.reject(new Refused(`${pattern} is not pinned`));
    }
    this.pinned = this.pinned.filter((pin) => pin.pattern !== pattern);
    return Promise.resolve(this.pinned);
  }

  collectGarbage: Operations['collectGarbage'] = ({ dryRun }) =>
    Promise.resolve({ dryRun, removed: [], bytes: 0 } satisfies Collected);

  verify: Operations['verify'] = () => Promise.resolve({ blobs: 0, bytes: 0, damaged: [] } satisfies Verified);
}

/** A data directory with a configuration beside it, and the admin socket of a daemon that is none. */
export class AdminSite implements AsyncDisposable {
  readonly operations = new FakeOperations();
  readonly root: string;
  log = '';
  #server: AdminServer | undefined;
  #impostor: Server | undefined;

  private constructor(root: string) {
    this.root = root;
  }

  /** Nothing listens yet. The path of the data directory has so many bytes, at the least. */
  static async prepare(minPathBytes = 0): Promise<AdminSite> {
    const site = new AdminSite(await mkdtemp(join(tmpdir(), 'entrepot-admin-').padEnd(minPathBytes - 6, 'd')));
    await writeFile(site.config, JSON.stringify({ storage: { path: '.' } }));
    return site;
  }

  static async start(): Promise<AdminSite> {
    const site = await AdminSite.prepare();
    await site.serve();
    return site;
  }

  get config(): string {
    return join(this.root, 'mirror.config.json');
  }

  get socketPath(): SocketPath {
    const path = socketPathOf(this.root);
    if (!path.ok) throw new Error(path.failure.reason);
    return path.value;
  }

  /** As a daemon that was killed leaves it: a socket on which nobody listens. */
  async leaveSocketOfKilled(): Promise<void> {
    const killed = createServer();
    killed.listen(join(this.root, 'old'));
    await once(killed, 'listening');
    // Node removes the file under its old name only.
    await rename(join(this.root, 'old'), this.socketPath);
    killed.close();
  }

  async serve(): Promise<void> {
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.log += chunk.toString();
        done();
      },
    });
    const log = createLogger({ level: 'debug', format: 'json' }, sink);
    this.#server = await serveAdmin({ operations: this.operations, socketPath: this.socketPath, log });
  }

  /** Another server in the place of the daemon. */
  async pretend(answer: RequestListener): Promise<void> {
    this.#impostor = createServer(answer).listen(this.socketPath);
    await once(this.#impostor, 'listening');
  }

  async close(): Promise<void> {
    await this.#server?.close();
    this.#impostor?.closeAllConnections();
    this.#impostor?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await rm(this.root, { recursive: true, force: true });
  }
}
