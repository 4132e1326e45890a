import { mkdir, writeFile } from 'node:fs/promises';
import { Program, run } from '../program.ts';
import { acquire, type Cleanup, Scratch, until } from '../scratch.ts';
import { filesBelow } from '../tree.ts';
import type { Client, Mirror } from './client.ts';

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
  const reference = (image: string): string => `docker.io/${image}`;
  return {
    name: 'containerd',
    async pull(image) {
      await ctr('pull', '--hosts-dir', hosts, reference(image));
    },
    async remove(image) {
      await ctr('rm', '--sync', reference(image));
    },
    async files(image) {
      const mounted = await scratch.folder('mounted');
      await ctr('mount', reference(image), mounted);
      try {
        return await filesBelow(mounted);
      } finally {
        await ctr('unmount', '--rm', mounted);
      }
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
