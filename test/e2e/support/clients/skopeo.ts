import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { acceptAnyImage } from '../policy.ts';
import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { filesBelow, sha256OfFile, unpackLayers } from '../tree.ts';
import type { Client, Mirror } from './client.ts';

export interface Skopeo extends Client {
  /** Of the manifest that was pulled; skopeo itself compares the layers with their digests. */
  manifestDigest(image: string): Promise<string>;
}

/** Names the mirror in the image reference. */
export async function startSkopeo(mirror: Mirror): Promise<Skopeo> {
  const scratch = await Scratch.create('skopeo');
  const policy = ['--policy', await acceptAnyImage(scratch)];
  const folderOf = (image: string): string => scratch.file('images', image.replaceAll(/[/:@]/g, '-'));
  return {
    name: 'skopeo',
    async pull(image) {
      const folder = folderOf(image);
      await scratch.folder('images');
      const source = ['--src-tls-verify=false', '--src-no-creds', `docker://127.0.0.1:${mirror.port}/${image}`];
      await run({
        program: 'skopeo',
        args: [...policy, 'copy', '--quiet', ...source, `dir:${folder}`],
        cwd: scratch.path,
      });
    },
    async remove(image) {
      await rm(folderOf(image), { recursive: true });
    },
    async manifestDigest(image) {
      return `sha256:${await sha256OfFile(join(folderOf(image), 'manifest.json'))}`;
    },
    async files(image) {
      await using unpacked = await Scratch.create('unpacked');
      await unpackLayers(await layersIn(folderOf(image)), unpacked.path);
      return await filesBelow(unpacked.path);
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

async function layersIn(folder: string): Promise<string[]> {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as {
    layers: { digest: string }[];
  };
  return manifest.layers.map(({ digest }) => join(folder, digest.slice('sha256:'.length)));
}
