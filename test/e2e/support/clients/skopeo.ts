import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { acceptAnyImage } from '../policy.ts';
import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { filesBelow, sha256OfFile, unpackLayers } from '../tree.ts';
import { type Client, type Login, type Mirror, saysWhereItIs } from './client.ts';

export interface Skopeo extends Client {
  /** `from` and `to` are a `dir:`, a `docker://`, or what else skopeo knows. */
  copy(from: string, to: string, ...options: readonly string[]): Promise<void>;
}

/** Names the mirror in the image reference. It compares the layers that it pulls with their digests. */
export async function startSkopeo(mirror: Mirror): Promise<Skopeo> {
  const scratch = await Scratch.create('skopeo');
  const policy = ['--policy', await acceptAnyImage(scratch)];
  const folderOf = (image: string): string => scratch.file('images', image.replaceAll(/[/:@]/g, '-'));
  const plainHttp = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  const copy = async (from: string, to: string, ...options: readonly string[]): Promise<void> => {
    const args = [...policy, 'copy', '--quiet', ...plainHttp, ...options, from, to];
    await run({ program: 'skopeo', args, cwd: scratch.path });
  };
  const at = (image: string): string =>
    `docker://${saysWhereItIs(image) ? image : `127.0.0.1:${mirror.port}/${image}`}`;
  return {
    name: 'skopeo',
    copy,
    async pull(image, as) {
      await scratch.folder('images');
      await copy(at(image), `dir:${folderOf(image)}`, ...sent('src', as));
    },
    async remove(image) {
      await rm(folderOf(image), { recursive: true });
    },
    async digest(image) {
      return `sha256:${await sha256OfFile(join(folderOf(image), 'manifest.json'))}`;
    },
    async files(image) {
      await using unpacked = await Scratch.create('unpacked');
      await unpackLayers(await layersIn(folderOf(image)), unpacked.path);
      return await filesBelow(unpacked.path);
    },
    async load(folder, image) {
      await scratch.folder('images');
      await copy(`dir:${folder}`, `dir:${folderOf(image)}`, '--preserve-digests');
    },
    async push(image, as) {
      await copy(`dir:${folderOf(image)}`, at(image), ...sent('dest', as));
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

/** Without a login, none from a file of this machine either. */
function sent(side: 'src' | 'dest', as: Login | undefined): readonly string[] {
  return as === undefined ? [`--${side}-no-creds`] : [`--${side}-creds`, `${as.username}:${as.password}`];
}

async function layersIn(folder: string): Promise<string[]> {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as {
    layers: { digest: string }[];
  };
  return manifest.layers.map(({ digest }) => join(folder, digest.slice('sha256:'.length)));
}
