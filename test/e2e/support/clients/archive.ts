import { acceptAnyImage } from '../policy.ts';
import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';

export interface Archive extends AsyncDisposable {
  readonly file: string;
}

/** One file of a folder in the form of skopeo's `dir:`, for clients that take in nothing else; `name` is what it is found by. */
export async function archiveOf(
  folder: string,
  format: 'oci-archive' | 'docker-archive',
  name: string,
): Promise<Archive> {
  const scratch = await Scratch.create('archive');
  const file = scratch.file('image.tar');
  const policy = ['--policy', await acceptAnyImage(scratch)];
  const args = [...policy, 'copy', '--quiet', `dir:${folder}`, `${format}:${file}:${name}`];
  await run({ program: 'skopeo', args, cwd: scratch.path });
  return { file, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}
