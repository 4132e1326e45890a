import { LRUCache } from 'lru-cache';
import type { Clock, Upstream } from '../mirror/ports.ts';
import type { Logger } from '../ops/logger.ts';
import { auth } from './auth.ts';
import { getBlob, headBlob } from './blobs.ts';
import { Bounds } from './bound.ts';
import type { Credentials } from './credentials.ts';
import { type Endpoint, firstOf, type Surroundings } from './endpoints.ts';
import { type Exchange, type RegistryRequest, type Request, urlText } from './exchange.ts';
import { health } from './health.ts';
import { connectTimeoutMs, defaultLimits, type Limits } from './limits.ts';
import { getManifest, headManifest } from './manifests.ts';
import { type ExchangeEvent, observed } from './observe.ts';
import { type Quota, QuotaReader } from './quota.ts';
import { rateLimit } from './rate-limit.ts';
import { redirects } from './redirects.ts';
import { retry } from './retry.ts';
import { search } from './search.ts';
import { listTags } from './tags.ts';
import { Tokens } from './tokens.ts';
import { createTransport } from './transport.ts';

export interface UpstreamSettings {
  readonly registry: string;
  /** In the order in which they are asked; http(s), perhaps with a path in front of `/v2/`. */
  readonly endpoints: readonly string[];
  readonly credentials?: Credentials;
  /** Certificates in PEM, trusted besides the public ones. */
  readonly ca?: string;
  readonly insecure?: boolean;
  /** Of the registry's own search, if that may be asked; in the format of `GET /v1/search`. */
  readonly searchUrl?: string;
}

export interface UpstreamOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly version?: string;
  readonly random?: () => number;
  readonly limits?: Partial<Limits>;
  readonly onExchange?: (event: ExchangeEvent) => void;
  /** Bytes of blobs' bodies, as they are handed on. */
  readonly onBytes?: (count: number) => void;
}

export interface ClosableUpstream extends Upstream {
  /** As last read; undefined for an upstream that has not told. */
  quota(): Quota | undefined;
  /** Ends whatever is under way. */
  close(): Promise<void>;
}

export function createUpstream(settings: UpstreamSettings, options: UpstreamOptions): ClosableUpstream {
  const { clock, onBytes = () => undefined } = options;
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const bounds = new Bounds();
  const transport = createTransport({
    ...settings,
    connectTimeoutMs: connectTimeoutMs(limits, settings.endpoints.length),
    userAgent: options.version === undefined ? 'entrepot' : `entrepot/${options.version}`,
    limits,
  });
  const quota = new QuotaReader(clock, settings.credentials !== undefined);
  const parts = { settings, options, limits, bounds, quota, transport: transport.exchange };
  const endpoints = createEndpoints(parts);
  const surroundings: Surroundings = { clock, limits, bounds, onBytes };
  return {
    registry: settings.registry,
    hasCredentials: settings.credentials !== undefined,
    headManifest: (name, reference, ask) =>
      firstOf(endpoints, { ...ask, name }, surroundings, (to) => headManifest(to, reference, limits)),
    getManifest: (name, reference, ask) =>
      firstOf(endpoints, { ...ask, name }, surroundings, (to) => getManifest(to, reference, limits)),
    headBlob: (name, digest, ask) =>
      firstOf(endpoints, { ...ask, name }, surroundings, (to) => headBlob(to, digest, surroundings)),
    getBlob: (name, digest, range, ask) =>
      firstOf(endpoints, { ...ask, name }, surroundings, (to) => getBlob(to, digest, range, surroundings)),
    listTags: (name, query, ask) =>
      firstOf(endpoints, { ...ask, name }, surroundings, (to) => listTags(to, query, limits)),
    ...(settings.searchUrl !== undefined && { search: createSearch(settings.searchUrl, parts) }),
    quota: () => quota.latest,
    close: async () => {
      bounds.end();
      await transport.close();
    },
  };
}

interface Parts {
  readonly settings: UpstreamSettings;
  readonly options: UpstreamOptions;
  readonly limits: Limits;
  readonly bounds: Bounds;
  readonly quota: QuotaReader;
  readonly transport: Exchange;
}

/** The way of every request: rate limit → quota → auth → health → retry → redirects → observed → transport. */
function createEndpoints(parts: Parts): Endpoint[] {
  const { settings, options, limits, quota } = parts;
  const { registry, credentials } = settings;
  const { clock, log } = options;
  const tokens = createTokens(parts);
  const groupOf = ({ kind, anonymously }: RegistryRequest): string =>
    `${kind === 'blob' ? 'blob' : 'manifest'} ${anonymously || credentials === undefined ? 'anonymous' : 'account'}`;
  return settings.endpoints.map((text) => {
    const endpoint = new URL(text);
    const authorized = auth({ registry, endpoint, credentials, tokens, log, limits });
    const limited = rateLimit<RegistryRequest>({ clock, limits, groupOf });
    return { url: endpoint, exchange: limited(quota.reading(authorized(reach(urlText(endpoint), parts)))) };
  });
}

/** Token endpoints are reached the same way, and their health is kept apart, by origin. */
function createTokens(parts: Parts): Tokens {
  const { options, limits, bounds } = parts;
  const { clock } = options;
  const groupOf = ({ headers }: Request): string => (headers['authorization'] === undefined ? 'anonymous' : 'account');
  const exchanges = new LRUCache<string, Exchange>({
    max: limits.maxTokenEndpoints,
    memoMethod: (origin) => rateLimit({ clock, limits, groupOf })(reach(origin, parts)),
  });
  return new Tokens({ exchangeFor: (origin) => exchanges.memo(origin), bounds, clock, limits });
}

/** Asked once and in one way: whoever searches has not the time for more. */
function createSearch(
  text: string,
  { settings, options, limits, bounds, transport }: Parts,
): NonNullable<Upstream['search']> {
  const { clock, log, onExchange } = options;
  const url = new URL(text);
  const counted = observed({ registry: settings.registry, endpoint: urlText(url), log, onExchange })(transport);
  const exchange = redirects(limits)(counted);
  return (query) => search(query, { url, exchange, bounds, clock, limits });
}

function reach(endpoint: string, { settings, options, limits, transport }: Parts): Exchange {
  const { clock, log, onExchange, random = Math.random } = options;
  const { registry } = settings;
  const counted = observed({ registry, endpoint, log, onExchange })(transport);
  return health({ endpoint, clock, log, limits })(retry({ clock, random, limits })(redirects(limits)(counted)));
}
