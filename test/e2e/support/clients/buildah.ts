import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { filesBelow } from '../tree.ts';
import { type Client, credentials, fullName, type Mirror, saysWhereItIs } from './client.ts';
import { configureContainers, towards } from './containers.ts';

export interface Buildah extends Client {
  /** Builds `image` on top of `base`, with what is in `folder` as its only new layer. */
  build(base: string, folder: string, image: string): Promise<void>;
}

export async function startBuildah(mirror: Mirror): Promise<Buildah> {
  const scratch = await Scratch.create('buildah');
  const { env, root, runRoot, registries, policy } = await configureContainers(scratch, mirror);
  const folders = ['--root', root, '--runroot', runRoot, '--registries-conf', registries];
  const buildah = async (...args: readonly string[]): Promise<string> =>
    (await run({ program: 'buildah', args: [...folders, ...args], env, cwd: scratch.path })).trim();
  const container = (image: string): Promise<string> =>
    buildah('from', '--quiet', '--pull-never', ...policy, fullName(image));
  return {
    name: 'buildah',
    async pull(image, as) {
      const options = saysWhereItIs(image) ? towards(credentials(as)) : [];
      await buildah('pull', '--quiet', ...policy, ...options, fullName(image));
    },
    async remove(image) {
      await buildah('rmi', '--force', fullName(image));
    },
    async files(image) {
      const name = await container(image);
      try {
        return await filesBelow(await buildah('mount', name));
      } finally {
        await buildah('rm', name);
      }
    },
    digest(image) {
      return buildah('inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', fullName(image));
    },
    async load(folder, image) {
      await buildah('tag', await buildah('pull', '--quiet', ...policy, `dir:${folder}`), image);
    },
    async push(image, as) {
      await buildah('push', '--quiet', ...policy, ...towards(credentials(as)), image);
    },
    async build(base, folder, image) {
      const name = await container(base);
      try {
        await buildah('copy', '--quiet', name, folder, '/');
        await buildah('commit', '--quiet', ...policy, name, image);
      } finally {
        await buildah('rm', name);
      }
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}
