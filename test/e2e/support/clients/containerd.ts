import { mkdir, writeFile } from 'node:fs/promises';
import { Program, run } from '../program.ts';
import { acquire, type Cleanup, Scratch, until } from '../scratch.ts';
import { filesBelow } from '../tree.ts';
import { archiveOf } from './archive.ts';
import { type Client, credentials, fullName, type Login, type Mirror, repositoryOf, saysWhereItIs } from './client.ts';

const startMs = 15_000;

/** A containerd process below `scratch`; answers with its address. */
export async function startContainerdProcess(scratch: Scratch, cleanup: Cleanup): Promise<string> {
  const address = scratch.file('containerd.sock');
  const config = scratch.file('containerd.toml');
  await writeFile(
    config,
    [
      'version = 2',
      `root = "${scratch.file('containerd')}"`,
      `state = "${scratch.file('containerd-state')}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `  address = "${address}"`,
      '[ttrpc]',
      `  address = "${address}.ttrpc"`,
    ].join('\n'),
  );
  const daemon = cleanup.use(new Program('containerd', { program: 'containerd', args: ['--config', config] }));
  await until('containerd answers', startMs, async () => {
    if (!daemon.isRunning) throw new Error(`containerd did not start\n${daemon.log.tail}`);
    return run({ program: 'ctr', args: ['--address', address, 'version'] }).then(
      () => true,
      () => false,
    );
  });
  return address;
}

/** Turned to the mirror by a hosts.toml for docker.io, so that it asks with `?ns=docker.io`. */
export function startContainerd(mirror: Mirror): Promise<Client> {
  return acquire((cleanup) => build(mirror, cleanup));
}

async function build(mirror: Mirror, cleanup: Cleanup): Promise<Client> {
  const scratch = cleanup.use(await Scratch.create('containerd'));
  const address = await startContainerdProcess(scratch, cleanup);
  const hosts = await scratch.folder('hosts');
  await mkdir(scratch.file('hosts', 'docker.io'));
  await writeFile(scratch.file('hosts', 'docker.io', 'hosts.toml'), hostsToml(mirror));
  const ctr = (...args: readonly string[]): Promise<string> =>
    run({ program: 'ctr', args: ['--address', address, 'images', ...args], cwd: scratch.path });
  const towards = (image: string, as: Login | undefined): readonly string[] => [
    ...(saysWhereItIs(image) ? ['--plain-http'] : ['--hosts-dir', hosts]),
    ...(as === undefined ? [] : ['--user', credentials(as) ?? '']),
  ];
  return {
    name: 'containerd',
    async pull(image, as) {
      await ctr('pull', ...towards(image, as), fullName(image));
    },
    async remove(image) {
      await ctr('rm', '--sync', fullName(image));
    },
    async files(image) {
      const mounted = await scratch.folder('mounted');
      await ctr('mount', fullName(image), mounted);
      try {
        return await filesBelow(mounted);
      } finally {
        await ctr('unmount', '--rm', mounted);
      }
    },
    async digest(image) {
      const [, line = ''] = (await ctr('ls', `name==${fullName(image)}`)).split('\n');
      return /sha256:[0-9a-f]{64}/.exec(line)?.[0] ?? line;
    },
    async load(folder, image) {
      await using archive = await archiveOf(folder, 'oci-archive', image.slice(repositoryOf(image).length + 1));
      await ctr('import', '--base-name', repositoryOf(image), archive.file);
    },
    async push(image, as) {
      await ctr('push', ...towards(image, as), image);
    },
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

function hostsToml(mirror: Mirror): string {
  return [
    'server = "https://registry-1.docker.io"',
    `[host."http://127.0.0.1:${mirror.port}"]`,
    '  capabilities = ["pull", "resolve"]',
  ].join('\n');
}
