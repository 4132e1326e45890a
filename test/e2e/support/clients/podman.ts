import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { filesBelow } from '../tree.ts';
import { type Client, credentials, fullName, type Mirror, saysWhereItIs } from './client.ts';
import { configureContainers, towards } from './containers.ts';

export async function startPodman(mirror: Mirror): Promise<Client> {
  const scratch = await Scratch.create('podman');
  const { env, root, runRoot, policy } = await configureContainers(scratch, mirror);
  const folders = ['--root', root, '--runroot', runRoot, '--tmpdir', scratch.file('tmp')];
  const podman = (...args: readonly string[]): Promise<string> =>
    run({ program: 'podman', args: [...folders, ...args], env, cwd: scratch.path });
  return {
    name: 'podman',
    async pull(image, as) {
      const options = saysWhereItIs(image) ? towards(credentials(as)) : [];
      await podman('pull', '--quiet', ...policy, ...options, fullName(image));
    },
    async remove(image) {
      await podman('image', 'rm', '--force', fullName(image));
    },
    async files(image) {
      const mounted = (await podman('image', 'mount', fullName(image))).trim();
      try {
        return await filesBelow(mounted);
      } finally {
        await podman('image', 'unmount', fullName(image));
      }
    },
    async digest(image) {
      return (await podman('image', 'inspect', '--format', '{{.Digest}}', fullName(image))).trim();
    },
    async load(folder, image) {
      const id = await podman('pull', '--quiet', ...policy, `dir:${folder}`);
      await podman('tag', id.trim(), image);
    },
    async push(image, as) {
      await podman('push', '--quiet', ...policy, ...towards(credentials(as)), image);
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}
