import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Program, run, runToFile } from '../program.ts';
import { acquire, type Cleanup, Scratch, until } from '../scratch.ts';
import { filesBelow, unpackLayers } from '../tree.ts';
import { archiveOf } from './archive.ts';
import { type Client, type Login, type Mirror, registryOf, repositoryOf } from './client.ts';
import { startContainerdProcess } from './containerd.ts';

const startMs = 30_000;

export interface Docker extends Client {
  /** `docker …`, as typed; `input` is its standard input. Rejects with what it complained about. */
  docker(args: readonly string[], input?: string): Promise<string>;
  /** The password goes by standard input. */
  login(registry: string, as: Login): Promise<void>;
  /** As `docker login` would leave it behind, for a registry that is not asked. */
  keepLogin(registry: string, as: Login): Promise<void>;
}

/** The Docker engine with `registry-mirrors`, and a containerd of its own in place of the machine's. */
export function startDockerd(mirror: Mirror): Promise<Docker> {
  return acquire((cleanup) => build(mirror, cleanup));
}

async function build(mirror: Mirror, cleanup: Cleanup): Promise<Docker> {
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
  const command = (args: readonly string[], input?: string): Command => ({
    program: 'docker',
    args: ['--host', host, ...args],
    cwd: scratch.path,
    ...(input === undefined ? {} : { input }),
  });
  const docker = (...args: readonly string[]): Promise<string> => run(command(args));
  const login = async (registry: string, { username, password }: Login): Promise<void> => {
    await run(command(['login', '--username', username, '--password-stdin', registry], password));
  };
  await until('dockerd answers', startMs, async () => {
    if (!daemon.isRunning) throw new Error(`dockerd did not start\n${daemon.log.tail}`);
    return docker('version').then(
      () => true,
      () => false,
    );
  });
  return {
    name: 'dockerd',
    login,
    docker: (args, input) => run(command(args, input)),
    async keepLogin(registry, { username, password }) {
      const auth = Buffer.from(`${username}:${password}`).toString('base64');
      await mkdir(scratch.file('.docker'), { recursive: true });
      await writeFile(scratch.file('.docker', 'config.json'), JSON.stringify({ auths: { [registry]: { auth } } }));
    },
    async pull(image, as) {
      if (as !== undefined) await login(registryOf(image), as);
      await docker('pull', image);
    },
    async remove(image) {
      await docker('image', 'rm', '--force', image);
    },
    async digest(image) {
      const known = JSON.parse(
        await docker('image', 'inspect', '--format', '{{json .RepoDigests}}', image),
      ) as string[];
      const prefix = `${repositoryOf(image)}@`;
      return known.find((name) => name.startsWith(prefix))?.slice(prefix.length) ?? `not one of ${known.join(', ')}`;
    },
    async load(folder, image) {
      await using archive = await archiveOf(folder, 'docker-archive', image);
      await docker('load', '--input', archive.file);
    },
    async push(image, as) {
      if (as !== undefined) await login(registryOf(image), as);
      await docker('push', image);
    },
    async files(image) {
      await using saved = await Scratch.create('saved');
      await runToFile(command(['save', image]), saved.file('image.tar'));
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
