import { join } from 'node:path';
import { type Config, tagTtlMs, type UpstreamConfig } from './config/config.ts';
import { createApp } from './http/app.ts';
import type { Policy } from './http/locate.ts';
import { type Listening, listen } from './http/server.ts';
import { HotLedger } from './ledger/hot-ledger.ts';
import { SqliteLedger } from './ledger/sqlite-ledger.ts';
import type { Flight, FlightEnd } from './mirror/flight.ts';
import { createMirror } from './mirror/mirror.ts';
import type { Page } from './mirror/ports.ts';
import { Registries, type Registry } from './mirror/registries.ts';
import { repositoryText } from './oci/repository-name.ts';
import { systemClock } from './ops/clock.ts';
import type { Logger } from './ops/logger.ts';
import { readVersion } from './ops/version.ts';
import { Budget } from './store/budget.ts';
import { DiskBlobStore } from './store/disk-blob-store.ts';
import { reconcile } from './store/reconcile.ts';
import { type ClosableUpstream, createUpstream, type UpstreamSettings } from './upstream/upstream.ts';

export interface Service {
  /** With the port really used. */
  readonly url: string;
  /** Takes over what can change while running: upstreams, private namespaces, access. */
  reload(config: Config): void;
  /** Lets running transfers end, for `shutdownGrace` at the most; then puts fills aside and closes everything. */
  stop(): Promise<void>;
}

/** The service cannot start for a reason that the operator can mend; the message is one clear sentence. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

/** @throws {StartupError} */
export async function startService(config: Config, log: Logger): Promise<Service> {
  const { ledger, store, budget } = await openStorage(config);
  const hot = new HotLedger(ledger);
  const upstreams = new Upstreams(log, await readVersion());
  const registries = new Registries(upstreams.take(config));
  const mirror = createMirror({
    store,
    ledger: hot,
    registries,
    clock: systemClock,
    random: Math.random,
    onFlightEnd: (flight, end) => logFlight(log, flight, end),
  });

  const stopping = new AbortController();
  let inForce = { config, policy: policyOf(config) };
  const app = createApp({
    mirror,
    clock: systemClock,
    log,
    policy: () => inForce.policy,
    ready: async () => {
      await Promise.all([store.check(), ledger.check()]);
    },
    isStopping: () => stopping.signal.aborted,
  });
  const listening = await startListening(app, config).catch((error: unknown) => {
    // Not for this start to say: the stop before may have been unclean, or another process may be using the directory.
    ledger.close({ clean: false });
    throw error;
  });
  const reconciling = reconcileUnlessClean({ store, ledger, hot, budget, log, signal: stopping.signal });

  return {
    url: listening.url,
    reload: (next) => {
      registries.replace(upstreams.take(next));
      inForce = { config: next, policy: policyOf(next) };
    },
    stop: async () => {
      stopping.abort();
      await listening.stop(inForce.config.shutdownGrace);
      await mirror.flights.stop();
      const isReconciled = await reconciling;
      await upstreams.close();
      closeLedger(ledger, isReconciled, log);
    },
  };
}

function closeLedger(ledger: SqliteLedger, clean: boolean, log: Logger): void {
  try {
    ledger.close({ clean });
  } catch (error) {
    log.error({ err: error }, 'the ledger could not write its last entries; the next start compares it with the store');
  }
}

interface Storage {
  readonly ledger: SqliteLedger;
  readonly store: DiskBlobStore;
  readonly budget: Budget;
}

async function openStorage({ storage }: Config): Promise<Storage> {
  const budget = new Budget(storage.maxSize);
  try {
    const store = await DiskBlobStore.open(storage.path, budget);
    const ledger = new SqliteLedger(join(storage.path, 'ledger.db'));
    budget.count((await ledger.totals()).bytes);
    return { ledger, store, budget };
  } catch (error) {
    throw new StartupError(`the data directory ${storage.path} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

async function startListening(app: Parameters<typeof listen>[0], { listen: at }: Config): Promise<Listening> {
  try {
    return await listen(app, at);
  } catch (error) {
    const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    const reason = inUse ? `port ${at.port} is in use by another program` : messageOf(error);
    throw new StartupError(`cannot listen on ${at.host}:${at.port}: ${reason}`, { cause: error });
  }
}

function policyOf(config: Config): Policy {
  return {
    table: {
      registries: new Set(config.upstreams.keys()),
      defaultRegistry: config.defaultUpstream ?? undefined,
      privatePatterns: config.private.namespaces,
    },
    anonymousPull: config.access.anonymous.pull,
  };
}

/** The upstream clients by what they are made of, so that a reload keeps those that did not change, with tokens and connections. */
class Upstreams {
  readonly #log: Logger;
  readonly #version: string;
  #open = new Map<string, ClosableUpstream>();
  /** Replaced by a reload. What is under way through them goes on; their idle connections end by themselves. */
  readonly #retired: ClosableUpstream[] = [];

  constructor(log: Logger, version: string) {
    this.#log = log;
    this.#version = version;
  }

  take(config: Config): ReadonlyMap<string, Registry> {
    const before = this.#open;
    this.#open = new Map();
    const registries = new Map<string, Registry>();
    for (const [registry, settings] of config.upstreams) {
      const parts = clientParts(registry, settings);
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

function clientParts(registry: string, { endpoints, credentials, ca, insecure }: UpstreamConfig): UpstreamSettings {
  return {
    registry,
    endpoints,
    insecure,
    ...(credentials === undefined ? {} : { credentials }),
    ...(ca === undefined ? {} : { ca }),
  };
}

interface Reconciling extends Storage {
  /** Through which rows are changed, so that it knows. */
  readonly hot: HotLedger;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** True when store and ledger agree: a stop after that is a clean one. */
async function reconcileUnlessClean({ store, ledger, hot, budget, log, signal }: Reconciling): Promise<boolean> {
  if (await ledger.takeCleanMark()) return true;
  try {
    const rows = (page: Page) => ledger.blobs(page);
    const found = await reconcile({ store, ledger: hot, rows, budget, now: () => systemClock.now(), signal });
    if (found.adopted + found.forgotten > 0)
      log.warn(found, 'store and ledger did not agree after an unclean stop, now they do');
    return !signal.aborted;
  } catch (error) {
    log.error({ err: error }, 'store and ledger could not be compared');
    return false;
  }
}

function logFlight(log: Logger, { digest, repository }: Flight, end: FlightEnd): void {
  const about = { digest, repository: repositoryText(repository) };
  if (end.kind === 'stored') log.info(about, 'stored');
  if (end.kind === 'broken')
    log.warn({ ...about, failure: end.failure.kind, reason: end.failure.reason, err: end.cause }, 'fill failed');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
