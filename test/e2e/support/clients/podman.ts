import { writeFile } from 'node:fs/promises';
import { acceptAnyImage } from '../policy.ts';
import { run } from '../program.ts';
import { Scratch } from '../scratch.ts';
import { filesBelow } from '../tree.ts';
import type { Client, Mirror } from './client.ts';

/** Turned to the mirror by registries.conf; the registry's name becomes the first part of the path. */
export async function startPodman(mirror: Mirror): Promise<Client> {
  const scratch = await Scratch.create('podman');
  const policy = await acceptAnyImage(scratch);
  const [registries, containers] = [scratch.file('registries.conf'), scratch.file('containers.conf')];
  await writeFile(registries, registriesConf(mirror));
  // Locks in files: those in shared memory would be the machine's own.
  await writeFile(containers, '[engine]\nlock_type = "file"\nevents_logger = "none"\ncgroup_manager = "cgroupfs"\n');
  const env = {
    CONTAINERS_REGISTRIES_CONF: registries,
    CONTAINERS_CONF: containers,
    CONTAINERS_STORAGE_CONF: scratch.file('storage.conf'),
    XDG_RUNTIME_DIR: scratch.path,
    TMPDIR: scratch.path,
  };
  const [root, runRoot] = [scratch.file('root'), scratch.file('run')];
  await writeFile(
    env.CONTAINERS_STORAGE_CONF,
    ['[storage]', 'driver = "overlay"', `graphroot = "${root}"`, `runroot = "${runRoot}"`].join('\n'),
  );
  const folders = ['--root', root, '--runroot', runRoot, '--tmpdir', scratch.file('tmp')];
  const podman = (...args: readonly string[]): Promise<string> =>
    run({ program: 'podman', args: [...folders, ...args], env, cwd: scratch.path });
  const reference = (image: string): string => `docker.io/${image}`;
  return {
    name: 'podman',
    async pull(image) {
      await podman('pull', '--quiet', '--signature-policy', policy, reference(image));
    },
    async remove(image) {
      await podman('image', 'rm', '--force', reference(image));
    },
    async files(image) {
      const mounted = (await podman('image', 'mount', reference(image))).trim();
      try {
        return await filesBelow(mounted);
      } finally {
        await podman('image', 'unmount', reference(image));
      }
    },
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

function registriesConf(mirror: Mirror): string {
  return [
    '[[registry]]',
    'prefix = "docker.io"',
    'location = "docker.io"',
    '[[registry.mirror]]',
    `location = "127.0.0.1:${mirror.port}/docker.io"`,
    'insecure = true',
  ].join('\n');
}
