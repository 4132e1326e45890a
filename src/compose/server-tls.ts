import type { Config } from '../config/config.ts';
import type { TlsMaterial } from '../http/tls-server.ts';
import type { Clock } from '../mirror/ports.ts';
import type { Logger } from '../ops/logger.ts';
import { repeat } from '../ops/schedule.ts';
import { certificateTrouble } from './certificate-health.ts';
import { StartupError } from './startup-error.ts';
import { readTls, type TlsPaths } from './tls-files.ts';

interface Deps {
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The files are read and compared: they are small, and what ACME clients and Kubernetes do, renaming files and turning symbolic
 * links, escapes watchers and times of change alike.
 */
const lookEveryMs = 5_000;

/** The certificate and key that the server speaks TLS with, kept up with their files. */
export class ServerTls {
  readonly #deps: Deps;
  #paths: TlsPaths;
  #material: TlsMaterial;
  /** As last told, so that nothing is told twice. */
  #failure: string | undefined;
  #trouble: string | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** Is given what is to be used from now on. */
  onChange: (material: TlsMaterial) => void = () => undefined;

  private constructor(paths: TlsPaths, material: TlsMaterial, deps: Deps) {
    this.#paths = paths;
    this.#material = material;
    this.#deps = deps;
    this.#tellTrouble();
  }

  /**
   * Undefined where the configuration asks for no TLS.
   *
   * @throws {StartupError}
   */
  static async open({ listen }: Config, deps: Deps): Promise<ServerTls | undefined> {
    const paths = pathsOf(listen);
    if (paths === undefined) return undefined;
    const material = await readTls(paths);
    if (!material.ok) throw new StartupError(`TLS cannot be used: ${material.failure.reason}`);
    return new ServerTls(paths, material.value, deps);
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Takes over the paths of a new configuration, and looks at the files at once. What is settled at the start stays. */
  configure({ listen }: Config): void {
    const next = pathsOf(listen);
    if (next !== undefined) {
      const asksBoth = this.#paths.clientCa !== undefined && next.clientCa !== undefined;
      this.#paths = { ...next, clientCa: asksBoth ? next.clientCa : this.#paths.clientCa };
    }
    void this.look();
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal, everyMs = lookEveryMs): Promise<void> {
    await repeat(() => this.look(), { every: () => everyMs, signal, onError: (error) => this.#tellBug(error) });
    await this.#looking;
  }

  /** Reads the files, and takes over what they hold if it is new and right. One look after the other. Never rejects. */
  look(): Promise<void> {
    return (this.#looking = this.#looking.then(() => this.#look()).catch((error: unknown) => this.#tellBug(error)));
  }

  async #look(): Promise<void> {
    const read = await readTls(this.#paths);
    if (!read.ok) {
      // A pair of which one half is replaced already looks just so, and is whole at the next look.
      if (this.#failure !== read.failure.reason) {
        this.#deps.log.warn(
          { reason: read.failure.reason },
          'the new TLS files cannot be used, the old ones stay in use',
        );
      }
      this.#failure = read.failure.reason;
      return;
    }
    this.#failure = undefined;
    if (!isSame(read.value, this.#material)) {
      this.#material = read.value;
      this.onChange(read.value);
      this.#deps.log.info({ cert: this.#paths.cert }, 'TLS files reloaded');
    }
    this.#tellTrouble();
  }

  #tellTrouble(): void {
    const trouble = certificateTrouble(this.#material.cert, this.#deps.clock.now());
    if (trouble !== undefined && trouble !== this.#trouble) this.#deps.log.warn({ cert: this.#paths.cert }, trouble);
    this.#trouble = trouble;
  }

  #tellBug(error: unknown): void {
    this.#deps.log.error({ err: error }, 'looking at the TLS files failed unexpectedly');
  }
}

function pathsOf({ tls, clientCa }: Config['listen']): TlsPaths | undefined {
  return tls && { ...tls, clientCa };
}

function isSame(one: TlsMaterial, other: TlsMaterial): boolean {
  return one.cert === other.cert && one.key === other.key && one.clientCa === other.clientCa;
}
