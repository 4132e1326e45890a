import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type Service, startService } from '../../src/compose.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/ops/logger.ts';

type Settings = Readonly<Record<string, unknown>>;
type LogLine = Readonly<Record<string, unknown>>;

/** The whole service in this process, on a free port, with a data directory of its own. */
export class Daemon implements AsyncDisposable {
  readonly root: string;
  readonly log: LogLine[] = [];
  readonly #logged = new EventEmitter();
  readonly #searchUrl: string | undefined;
  #settings: Settings;
  #service: Service | undefined;

  private constructor(root: string, settings: Settings, searchUrl: string | undefined) {
    this.root = root;
    this.#settings = settings;
    this.#searchUrl = searchUrl;
  }

  /** With docker.io at `upstream`, its search at `searchUrl`, and `settings` over the defaults of the tests. */
  static async start(upstream: string, settings: Settings = {}, searchUrl?: string): Promise<Daemon> {
    const root = await mkdtemp(join(tmpdir(), 'entrepot-test-'));
    const daemon = new Daemon(
      root,
      {
        listen: { host: '127.0.0.1', port: 0 },
        storage: { path: 'data' },
        upstreams: { 'docker.io': { endpoints: [upstream] } },
        private: { namespaces: ['*', 'local/**'] },
        shutdownGrace: '5s',
        ...settings,
      },
      searchUrl,
    );
    await daemon.#start();
    return daemon;
  }

  get dataPath(): string {
    return join(this.root, 'data');
  }

  get url(): string {
    if (this.#service === undefined) throw new Error('the daemon is stopped');
    return this.#service.url;
  }

  async #start(): Promise<void> {
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        for (const line of chunk.toString().trim().split('\n')) this.log.push(JSON.parse(line) as LogLine);
        this.#logged.emit('line');
        done();
      },
    });
    const log = createLogger({ level: 'debug', format: 'json' }, sink);
    this.#service = await startService(await this.#load(), { log, searchUrl: this.#searchUrl });
  }

  async #load(): Promise<Config> {
    const file = join(this.root, 'mirror.config.json');
    await writeFile(file, JSON.stringify(this.#settings));
    const loaded = await loadConfig({ file, env: {} });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.failure));
    return loaded.value;
  }

  get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  head(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.get(path, { method: 'HEAD', headers });
  }

  /** Resolves when such a line is in the log. */
  async logged(isIt: (line: LogLine) => boolean): Promise<void> {
    while (!this.log.some(isIt)) await once(this.#logged, 'line');
  }

  /** Resolves when a blob's file and row are in place: readers have had its bytes by then. */
  stored(digest: string): Promise<void> {
    return this.logged((line) => line['msg'] === 'stored' && line['digest'] === digest);
  }

  async reload(settings: Settings): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    this.#service?.reload(await this.#load());
  }

  async restart(settings: Settings = {}): Promise<void> {
    await this.stop();
    this.#settings = { ...this.#settings, ...settings };
    await this.#start();
  }

  async stop(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    await service?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** One upstream setting for `Daemon.start`'s or `reload`'s settings. */
export function dockerIo(endpoint: string, settings: Settings = {}): Settings {
  return { upstreams: { 'docker.io': { endpoints: [endpoint], ...settings } } };
}
