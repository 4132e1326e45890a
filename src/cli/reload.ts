import type { Service } from '../compose.ts';
import type { Config } from '../config/config.ts';
import { type ConfigSource, loadConfig } from '../config/load.ts';
import { problemText } from '../config/problem.ts';
import type { Logger } from '../ops/logger.ts';

/** What is bound or opened once, at the start; of the files of TLS, whether there are any. */
const startSettings: Readonly<Record<string, (config: Config) => unknown>> = {
  'listen.host': ({ listen }) => listen.host,
  'listen.port': ({ listen }) => listen.port,
  'listen.tls': ({ listen }) => listen.tls === undefined,
  'listen.clientCa': ({ listen }) => listen.clientCa === undefined,
  'storage.path': ({ storage }) => storage.path,
  'log.format': ({ log }) => log.format,
};

/** The configuration of a running service. An invalid new one leaves the old one in effect. */
export class RunningConfig {
  readonly #source: ConfigSource;
  readonly #service: Service;
  readonly #log: Logger;
  readonly #atStart: Config;
  #current: Config;
  /** One reload after the other, so that what was written last wins. */
  #pending: Promise<void> = Promise.resolve();

  constructor(atStart: Config, source: ConfigSource, service: Service, log: Logger) {
    this.#atStart = atStart;
    this.#current = atStart;
    this.#source = source;
    this.#service = service;
    this.#log = log;
  }

  get current(): Config {
    return this.#current;
  }

  reload(): void {
    this.#pending = this.#pending
      .then(() => this.#load())
      .catch((error: unknown) => this.#log.error({ err: error }, 'reloading the configuration failed unexpectedly'));
  }

  async #load(): Promise<void> {
    const loaded = await loadConfig(this.#source);
    if (!loaded.ok) {
      const problems = loaded.failure.map(problemText);
      this.#log.error({ problems }, 'the new configuration is invalid, the old one stays in effect');
      return;
    }
    this.#service.reload(loaded.value);
    this.#current = loaded.value;
    this.#log.level = loaded.value.log.level;
    this.#log.info('configuration reloaded');

    const waiting = Object.entries(startSettings).filter(([, of]) => of(loaded.value) !== of(this.#atStart));
    if (waiting.length === 0) return;
    this.#log.warn({ settings: waiting.map(([name]) => name) }, 'changed settings that take effect at the next start');
  }
}
