import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Program } from './program.ts';
import { acquire, answers, type Cleanup, freePort, Scratch, until } from './scratch.ts';
import type { Account } from './token-server.ts';
import type { Upstream } from './upstream.ts';

/** Only ever the built program: what is tested is what is shipped. */
export const entrepotProgram = join(import.meta.dirname, '../../../dist/main.js');

const readyMs = 15_000;
const stopMs = 20_000;

export interface EntrepotOptions {
  readonly upstream: Pick<Upstream, 'url'>;
  readonly tagTtl?: string;
  /** A directory that is there; otherwise one of its own. */
  readonly dataPath?: string;
  /** The account with which the upstream is asked. */
  readonly account?: Account;
  readonly privateRepositories?: 'users' | 'anyone';
}

/** The daemon under test, with a configuration and a data directory of its own. */
export class Entrepot implements AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly #configFile: string;
  readonly #cleanup: Cleanup;
  #program: Program | undefined;

  private constructor(port: number, configFile: string, cleanup: Cleanup) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#configFile = configFile;
    this.#cleanup = cleanup;
  }

  static start(options: EntrepotOptions): Promise<Entrepot> {
    return acquire((cleanup) => Entrepot.#build(options, cleanup));
  }

  static async #build(options: EntrepotOptions, cleanup: Cleanup): Promise<Entrepot> {
    const scratch = cleanup.use(await Scratch.create('mirror'));
    const port = await freePort();
    const [configFile, data] = [scratch.file('mirror.config.json'), options.dataPath ?? scratch.file('data')];
    await mkdir(data, { recursive: true });
    await writeFile(configFile, JSON.stringify(configOf(options, port, data), null, 2));
    const entrepot = new Entrepot(port, configFile, cleanup);
    cleanup.use({ [Symbol.asyncDispose]: () => entrepot.#end() });
    await entrepot.#run();
    return entrepot;
  }

  /** What the running process wrote as errors, one line each. */
  get complaints(): string[] {
    return (this.#program?.log.text ?? '').split('\n').filter(isError);
  }

  /** Bytes of bodies that the running process has served from its cache, as its log says. */
  get bytesFromCache(): number {
    return (this.#program?.log.text ?? '')
      .split('\n')
      .map(parseLine)
      .filter((line) => line?.['msg'] === 'request' && line['outcome'] === 'hit' && line['method'] === 'GET')
      .reduce((sum, line) => sum + Number(line?.['bytes']), 0);
  }

  /** The most memory that the running process has had resident so far, in bytes. */
  async peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.#program?.pid ?? 'self'}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** Ends as an operator would end it, and insists on exit code 0. */
  async stop(): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    const exit = await program?.stop('SIGTERM', stopMs);
    if (exit?.code !== 0) {
      throw new Error(`Entrepot ended with ${JSON.stringify(exit)} after SIGTERM\n${program?.log.tail ?? ''}`);
    }
  }

  /** SIGTERM without waiting; the promise is that of the exit. */
  terminate(): Promise<{ readonly code: number | null }> {
    const program = this.#program;
    if (program === undefined) throw new Error('Entrepot is not running');
    program.signal('SIGTERM');
    return program.exited;
  }

  async kill9(): Promise<void> {
    const program = this.#program;
    this.#program = undefined;
    await program?.stop('SIGKILL');
  }

  /** On the same port, with the same data. */
  async restart(): Promise<void> {
    if (this.#program !== undefined) await this.stop();
    await this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    await this.#program?.stop('SIGTERM', stopMs);
  }

  async #run(): Promise<void> {
    const args = [entrepotProgram, 'serve', '--config', this.#configFile];
    const program = new Program('entrepot', { program: process.execPath, args });
    this.#program = program;
    await until('Entrepot is ready', readyMs, async () => {
      if (!program.isRunning) throw new Error(`Entrepot did not start\n${program.log.tail}`);
      return answers(`${this.url}/readyz`);
    });
  }
}

function configOf(options: EntrepotOptions, port: number, data: string): object {
  const { upstream, tagTtl = '1h', account, privateRepositories } = options;
  return {
    listen: { host: '127.0.0.1', port },
    storage: { path: data, maxSize: '10GiB' },
    upstreams: {
      'docker.io': {
        endpoints: [upstream.url],
        tagTtl,
        ...(account === undefined ? {} : { username: account.username, password: account.password }),
        ...(privateRepositories === undefined ? {} : { privateRepositories }),
      },
    },
    private: { namespaces: ['*', 'local/**'] },
    access: { anonymous: { pull: true, push: false } },
    shutdownGrace: '15s',
  };
}

function isError(line: string): boolean {
  const parsed = parseLine(line);
  if (parsed !== undefined) return parsed['level'] === 'error' || parsed['level'] === 'fatal';
  // Not a log line of ours: a stack trace, a warning of Node's.
  return line.trim() !== '';
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
