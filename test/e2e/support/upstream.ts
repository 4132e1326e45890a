import { writeFile } from 'node:fs/promises';
import { CountingProxy, downloadOf, type Gate, type RequestFilter, type SeenRequest } from './counting-proxy.ts';
import { Program } from './program.ts';
import { acquire, answers, type Cleanup, freePort, Scratch, until } from './scratch.ts';
import { type Account, TokenServer } from './token-server.ts';

const startMs = 10_000;

/** May write everything; used only to fill the registry before a test. */
export const publisher: Account = { username: 'publisher', password: 'brass-anchor', actions: ['pull', 'push'] };
/** May read everything, also what is private. */
export const reader: Account = { username: 'reader', password: 'tarred-rope', actions: ['pull'] };

/** Repositories below this are readable only with an account. */
const privatePrefix = 'team/';

/** Stands for Docker Hub: Debian's docker-registry behind token authentication and a proxy that counts. */
export class Upstream implements AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly #all: SeenRequest[];
  readonly #proxy: CountingProxy;
  readonly #tokens: TokenServer;
  readonly #configFile: string;
  readonly #registryPort: number;
  readonly #cleanup: Cleanup;
  #registry: Program | undefined;

  private constructor(parts: {
    requests: SeenRequest[];
    proxy: CountingProxy;
    tokens: TokenServer;
    configFile: string;
    registryPort: number;
    cleanup: Cleanup;
  }) {
    this.#all = parts.requests;
    this.#proxy = parts.proxy;
    this.#tokens = parts.tokens;
    this.#configFile = parts.configFile;
    this.#registryPort = parts.registryPort;
    this.#cleanup = parts.cleanup;
    this.port = parts.proxy.port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  static start(): Promise<Upstream> {
    return acquire((cleanup) => Upstream.#build(cleanup));
  }

  static async #build(cleanup: Cleanup): Promise<Upstream> {
    const scratch = cleanup.use(await Scratch.create('upstream'));
    const requests: SeenRequest[] = [];
    const tokens = await TokenServer.create({
      scratch,
      port: await freePort(),
      accounts: [publisher, reader],
      isPrivate: (repository) => repository.startsWith(privatePrefix),
      requests,
    });
    const registryPort = await freePort();
    const proxy = new CountingProxy({ at: 'registry', port: await freePort(), targetPort: registryPort, requests });
    const configFile = scratch.file('registry.yml');
    await writeFile(configFile, registryConfig(scratch, registryPort, tokens));
    const upstream = new Upstream({ requests, proxy, tokens, configFile, registryPort, cleanup });
    cleanup.use({ [Symbol.asyncDispose]: () => upstream.kill() });
    await upstream.revive();
    return upstream;
  }

  /** Everything that was asked since the last `forget`, at the registry and at the token server. */
  get requests(): readonly SeenRequest[] {
    return this.#all;
  }

  count(filter: RequestFilter = () => true): number {
    return this.#all.filter(filter).length;
  }

  downloads(digest: string): readonly SeenRequest[] {
    return this.#all.filter(downloadOf(digest));
  }

  forget(): void {
    this.#all.length = 0;
  }

  /** Downloads of this blob stop after so many bytes until the gate opens. */
  hold(digest: string, afterBytes: number): Gate {
    return this.#proxy.hold(downloadOf(digest), afterBytes);
  }

  /** From now on every connection is refused, the token server's too. */
  async kill(): Promise<void> {
    await Promise.all([this.#proxy.stop(), this.#tokens.stop(), this.#registry?.stop('SIGKILL')]);
    this.#registry = undefined;
  }

  /** Listens again, on the same ports and with the same content. */
  async revive(): Promise<void> {
    const registry = new Program('docker-registry', { program: 'docker-registry', args: ['serve', this.#configFile] });
    this.#registry = registry;
    await until('docker-registry answers', startMs, async () => {
      if (!registry.isRunning) throw new Error(`docker-registry did not start\n${registry.log.tail}`);
      return answers(`http://127.0.0.1:${this.#registryPort}/`);
    });
    await Promise.all([this.#proxy.start(), this.#tokens.start()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]();
  }
}

/** docker-registry reads YAML, and JSON is YAML. */
function registryConfig(scratch: Scratch, port: number, tokens: TokenServer): string {
  return JSON.stringify({
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: scratch.file('content') },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}`, relativeurls: true },
    auth: {
      token: {
        realm: tokens.realm,
        service: tokens.service,
        issuer: tokens.issuer,
        rootcertbundle: tokens.certificateFile,
      },
    },
  });
}
