import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program, run, runToFile } from '../program.ts';
import { acquire, type Cleanup, Scratch, until } from '../scratch.ts';
import { filesBelow, unpackLayers } from '../tree.ts';
import type { Client, Mirror } from './client.ts';
import { startContainerdProcess } from './containerd.ts';

const startMs = 30_000;

/** The Docker engine with `registry-mirrors`, and a containerd of its own in place of the machine's. */
export function startDockerd(mirror: Mirror): Promise<Client> {
  return acquire((cleanup) => build(mirror, cleanup));
}

async function build(mirror: Mirror, cleanup: Cleanup): Promise<Client> {
  const scratch = cleanup.use(await Scratch.create('dockerd'));
  const containerd = await startContainerdProcess(scratch, cleanup);
  const config = scratch.file('daemon.json');
  await writeFile(config, '{}');
  const host = `unix://${scratch.file('docker.sock')}`;
  const daemon = cleanup.use(
    new Program('dockerd', {
      program: 'dockerd',
      args: [
        ...['--host', host, '--containerd', containerd, '--config-file', config],
        ...['--data-root', scratch.file('data'), '--exec-root', scratch.file('exec')],
        ...['--pidfile', scratch.file('dockerd.pid'), '--registry-mirror', `http://127.0.0.1:${mirror.port}`],
        ...['--iptables=false', '--ip6tables=false', '--bridge=none'],
      ],
      cwd: scratch.path,
    }),
  );
  const docker = (...args: readonly string[]): { program: string; args: string[]; cwd: string } => ({
    program: 'docker',
    args: ['--host', host, ...args],
    cwd: scratch.path,
  });
  await until('dockerd answers', startMs, async () => {
    if (!daemon.isRunning) throw new Error(`dockerd did not start\n${daemon.log.tail}`);
    return run(docker('version')).then(
      () => true,
      () => false,
    );
  });
  return {
    name: 'dockerd',
    async pull(image) {
      await run(docker('pull', image));
    },
    async remove(image) {
      await run(docker('image', 'rm', '--force', image));
    },
    async files(image) {
      await using saved = await Scratch.create('saved');
      await runToFile(docker('save', image), saved.file('image.tar'));
      const content = await saved.folder('content');
      await run({ program: 'tar', args: ['--extract', '--directory', content, '--file', saved.file('image.tar')] });
      const root = saved.file('root');
      await unpackLayers(await layersIn(content), root);
      return await filesBelow(root);
    },
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

async function layersIn(saved: string): Promise<string[]> {
  const [image] = JSON.parse(await readFile(join(saved, 'manifest.json'), 'utf8')) as { Layers: string[] }[];
  return (image?.Layers ?? []).map((layer) => join(saved, layer));
}
