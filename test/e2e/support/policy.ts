import { writeFile } from 'node:fs/promises';
import type { Scratch } from './scratch.ts';

/** The file by which skopeo and podman are told that unsigned images will do, whatever this machine's own file says. */
export async function acceptAnyImage(scratch: Scratch): Promise<string> {
  const path = scratch.file('policy.json');
  await writeFile(path, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  return path;
}
