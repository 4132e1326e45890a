import { type Config, tagTtlMs, type UpstreamConfig } from '../config/config.ts';
import { dockerHubHosts } from '../config/schema.ts';
import type { Registry } from '../mirror/registries.ts';
import { systemClock } from '../ops/clock.ts';
import type { Logger } from '../ops/logger.ts';
import { type ClosableUpstream, createUpstream, type UpstreamSettings } from '../upstream/upstream.ts';

/** What the engine itself asks (moby, daemon/pkg/registry/config.go: IndexServer). */
const dockerHubSearch = 'https://index.docker.io/v1/search';

/** The upstream clients by what they are made of, so that a reload keeps those that did not change, with tokens and connections. */
export class Upstreams {
  readonly #log: Logger;
  readonly #version: string;
  readonly #searchUrl: string;
  #open = new Map<string, ClosableUpstream>();
  /** Replaced by a reload. What is under way through them goes on; their idle connections end by themselves. */
  readonly #retired: ClosableUpstream[] = [];

  /** @param searchUrl where Docker Hub's search answers */
  constructor(log: Logger, version: string, searchUrl: string = dockerHubSearch) {
    this.#log = log;
    this.#version = version;
    this.#searchUrl = searchUrl;
  }

  take(config: Config): ReadonlyMap<string, Registry> {
    const before = this.#open;
    this.#open = new Map();
    const registries = new Map<string, Registry>();
    for (const [registry, settings] of config.upstreams) {
      const parts = clientParts(registry, settings, this.#searchUrl);
      const key = JSON.stringify(parts);
      const upstream = before.get(key) ?? this.#create(parts);
      this.#open.set(key, upstream);
      registries.set(registry, {
        upstream,
        privateRepositories: settings.privateRepositories,
        tagTtlMs: (name, tag) => tagTtlMs(settings.tagTtl, name, tag),
      });
    }
    for (const [key, upstream] of before) if (!this.#open.has(key)) this.#retired.push(upstream);
    return registries;
  }

  #create(settings: UpstreamSettings): ClosableUpstream {
    return createUpstream(settings, { clock: systemClock, log: this.#log, version: this.#version });
  }

  async #close(upstream: ClosableUpstream): Promise<void> {
    try {
      await upstream.close();
    } catch (error) {
      this.#log.warn({ err: error, upstream: upstream.registry }, 'an upstream client did not close');
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values(), ...this.#retired].map((upstream) => this.#close(upstream)));
  }
}

function clientParts(registry: string, settings: UpstreamConfig, searchUrl: string): UpstreamSettings {
  const { endpoints, credentials, search, ca, insecure } = settings;
  return {
    registry,
    endpoints,
    insecure,
    ...(credentials === undefined ? {} : { credentials }),
    ...(ca === undefined ? {} : { ca }),
    ...(search && endpoints.some(isDockerHub) ? { searchUrl } : {}),
  };
}

/** A mirror of Docker Hub is not asked: nobody has told it to send what is looked for on to the Hub. */
function isDockerHub(endpoint: string): boolean {
  return dockerHubHosts.includes(new URL(endpoint).hostname);
}
