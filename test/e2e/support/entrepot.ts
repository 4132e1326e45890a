import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageListing, Status } from '../../../src/admin/operations.ts';
import { AdminSocket } from './admin-socket.ts';
import type { Login } from './clients/client.ts';
import { type Outcome, outcomeOf, Program, run } from './program.ts';
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
  /** Settings of the storage beside its path. */
  readonly storage?: Readonly<Record<string, unknown>>;
  /** What is hosted here; default: names of one segment, and `local/**`. */
  readonly namespaces?: readonly string[];
  /** Added before it starts for the first time. */
  readonly users?: readonly Login[];
  /** Default: everyone may pull, and nobody push. */
  readonly access?: Readonly<Record<string, unknown>>;
}

/** The trusted LAN: there are no users, and everyone may push. */
export const everyonePushes = { anonymous: { pull: true, push: true } };

/** The daemon under test, with a configuration and a data directory of its own. */
export class Entrepot implements AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly dataPath: string;
  readonly configFile: string;
  readonly socket: AdminSocket;
  readonly #cleanup: Cleanup;
  #options: EntrepotOptions;
  #program: Program | undefined;

  private constructor(options: EntrepotOptions, place: Place & { readonly configFile: string }, cleanup: Cleanup) {
    this.port = place.port;
    this.url = `http://127.0.0.1:${place.port}`;
    this.dataPath = place.dataPath;
    this.configFile = place.configFile;
    this.socket = new AdminSocket(place.dataPath);
    this.#options = options;
    this.#cleanup = cleanup;
  }

  static start(options: EntrepotOptions): Promise<Entrepot> {
    return acquire((cleanup) => Entrepot.#build(options, cleanup));
  }

  static async #build(options: EntrepotOptions, cleanup: Cleanup): Promise<Entrepot> {
    const scratch = cleanup.use(await Scratch.create('mirror'));
    const port = await freePort();
    const [configFile, dataPath] = [scratch.file('mirror.config.json'), options.dataPath ?? scratch.file('data')];
    await mkdir(dataPath, { recursive: true });
    const entrepot = new Entrepot(options, { port, configFile, dataPath }, cleanup);
    cleanup.use({ [Symbol.asyncDispose]: () => entrepot.#end() });
    await entrepot.#addUsers(options);
    await entrepot.#run();
    return entrepot;
  }

  get pid(): number | undefined {
    return this.#program?.pid;
  }

  /** The last part of what the running process wrote. */
  get log(): string {
    return this.#program?.log.text ?? '';
  }

  /** Runs one of the operator's commands beside the daemon. */
  command(...args: readonly string[]): Promise<Outcome> {
    const [command = '', ...rest] = args;
    const all = [entrepotProgram, command, '--config', this.configFile, ...rest];
    return outcomeOf({ program: process.execPath, args: all });
  }

  async #addUsers({ users = [] }: EntrepotOptions): Promise<void> {
    if (users.length > 0) await writeConfig(this.configFile, this.#options, this);
    for (const user of users) await this.addUser(user);
  }

  /** As an operator does who pipes the password in. */
  async addUser({ username, password }: Login): Promise<void> {
    const args = [entrepotProgram, 'user', 'add', '--config', this.configFile, username];
    await run({ program: process.execPath, args, input: `${password}\n` });
  }

  status(): Promise<Status> {
    return this.#answerTo<Status>('status');
  }

  /** All stored images. */
  images(): Promise<readonly ImageListing[]> {
    return this.#answerTo<readonly ImageListing[]>('ls');
  }

  async #answerTo<T>(command: string): Promise<T> {
    const { code, stdout, stderr } = await this.command(command, '--json');
    if (code !== 0) throw new Error(`entrepot ${command}: exit code ${String(code)}\n${stderr}`);
    return JSON.parse(stdout) as T;
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
  peakMemory(): Promise<number> {
    return this.#memory('VmHWM');
  }

  /** What it has resident now. */
  residentMemory(): Promise<number> {
    return this.#memory('VmRSS');
  }

  async #memory(field: 'VmHWM' | 'VmRSS'): Promise<number> {
    const status = await readFile(`/proc/${this.#program?.pid ?? 'self'}/status`, 'utf8');
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
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

  /** On the same port, with the same data; what is given replaces what it was started with. */
  async restart(changes: Partial<EntrepotOptions> = {}): Promise<void> {
    if (this.#program !== undefined) await this.stop();
    this.#options = { ...this.#options, ...changes };
    await this.#run();
  }

  /** Clients have the last bytes before they are stored. */
  async idle(): Promise<void> {
    await until('no fill is under way', readyMs, async () => (await this.socket.status()).fillsInFlight === 0);
  }

  /** After a stop that was not clean, when it has been compared what should be there with what is. */
  async reconciled(): Promise<Status> {
    let status: Status | undefined;
    await until('store and ledger were compared', readyMs, async () => {
      // The socket may open a moment later than the port.
      status = await this.socket.status().catch(() => undefined);
      return status?.reconciled === true;
    });
    if (status === undefined) throw new Error('no answer');
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]();
  }

  async #end(): Promise<void> {
    await this.#program?.stop('SIGTERM', stopMs);
  }

  /** Starts it on the same data, and does not wait for it. */
  async launch(): Promise<Program> {
    await writeConfig(this.configFile, this.#options, this);
    const args = [entrepotProgram, 'serve', '--config', this.configFile];
    const program = new Program('entrepot', { program: process.execPath, args });
    this.#program = program;
    return program;
  }

  async #run(): Promise<void> {
    const program = await this.launch();
    await until('Entrepot is ready', readyMs, async () => {
      if (!program.isRunning) throw new Error(`Entrepot did not start\n${program.log.tail}`);
      return answers(`${this.url}/readyz`);
    });
  }
}

/** Where a daemon listens and keeps what it has. */
interface Place {
  readonly port: number;
  readonly dataPath: string;
}

export async function writeConfig(file: string, options: EntrepotOptions, place: Place): Promise<void> {
  await writeFile(file, JSON.stringify(configOf(options, place), null, 2));
}

function configOf(options: EntrepotOptions, { port, dataPath }: Place): object {
  const { upstream, tagTtl = '1h', account, privateRepositories, storage } = options;
  const { namespaces = ['*', 'local/**'], access = { anonymous: { pull: true, push: false } } } = options;
  return {
    listen: { host: '127.0.0.1', port },
    storage: { path: dataPath, maxSize: '10GiB', ...storage },
    upstreams: {
      'docker.io': {
        endpoints: [upstream.url],
        tagTtl,
        ...(account === undefined ? {} : { username: account.username, password: account.password }),
        ...(privateRepositories === undefined ? {} : { privateRepositories }),
      },
    },
    private: { namespaces },
    access,
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
