import { hostname } from 'node:os';
import { AccessControl, type AccessSettings } from './access/access-control.ts';
import { Administration } from './admin/administration.ts';
import type { Damage, Progress } from './admin/operations.ts';
import { type AdminServer, serveAdmin } from './admin/server.ts';
import { socketPathOf } from './admin/socket-path.ts';
import { collectAll } from './compose/collect-all.ts';
import { ServerTls } from './compose/server-tls.ts';
import { messageOf, StartupError } from './compose/startup-error.ts';
import { Storage } from './compose/storage.ts';
import { Upkeep } from './compose/upkeep.ts';
import { Upstreams } from './compose/upstreams.ts';
import type { Config } from './config/config.ts';
import { createHosted } from './hosted/hosted.ts';
import { Policies, type Policy as TagPolicy } from './hosted/policies.ts';
import { createApp } from './http/app.ts';
import type { Policy } from './http/locate.ts';
import { type Listening, type ListenOptions, listen } from './http/server.ts';
import type { Flight } from './mirror/flight.ts';
import type { FlightEnd } from './mirror/flight-end.ts';
import { createMirror } from './mirror/mirror.ts';
import { type ConfiguredPins, Pins } from './mirror/pins.ts';
import { Registries } from './mirror/registries.ts';
import { setAside } from './mirror/set-aside.ts';
import { Notifications } from './notifications/notifications.ts';
import { repositoryText } from './oci/repository-name.ts';
import { systemClock } from './ops/clock.ts';
import type { Logger } from './ops/logger.ts';
import { readVersion } from './ops/version.ts';
import { scrub } from './store/scrub.ts';

export { StartupError } from './compose/startup-error.ts';

/** Digests of hosted content that is gone, told by one verification. */
const maxLostTold = 1_000;

export interface Service {
  /** With the port really used. */
  readonly url: string;
  /** Takes over what can change while running: sizes, pins, upstreams, private namespaces, access, TLS files. */
  reload(config: Config): void;
  /** Lets running transfers end, for `shutdownGrace` at the most; then puts fills aside and closes everything. */
  stop(): Promise<void>;
}

/**
 * `onProgress` hears of what has to be done before the start and may take long: making a lost ledger anew. The signal breaks
 * that off.
 *
 * @throws {StartupError}
 */
export async function startService(
  config: Config,
  { log, onProgress = () => undefined, signal = new AbortController().signal, searchUrl }: Starting,
): Promise<Service> {
  const tls = await ServerTls.open(config, { clock: systemClock, log });
  const storage = await Storage.open(config, { log, onProgress, signal });
  try {
    return await startWith({ storage, tls, searchUrl }, config, log);
  } catch (error) {
    await storage.close();
    throw error;
  }
}

interface Starting {
  readonly log: Logger;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Asked in place of Docker Hub's search, by tests. */
  readonly searchUrl?: string | undefined;
}

interface Opened {
  readonly storage: Storage;
  readonly tls: ServerTls | undefined;
  readonly searchUrl: string | undefined;
}

async function startWith({ storage, tls, searchUrl }: Opened, config: Config, log: Logger): Promise<Service> {
  const { store, ledger } = storage;
  const startedAt = new Date(systemClock.now()).toISOString();
  const version = await readVersion();
  const stopping = new AbortController();
  const upstreams = new Upstreams(log, version, searchUrl);
  const registries = new Registries(upstreams.take(config));
  const mirror = createMirror({
    store,
    ledger,
    registries,
    clock: systemClock,
    random: Math.random,
    onFlightEnd: (flight, end) => logFlight(log, flight, end),
  });
  const pins = await Pins.load({ ledger, clock: systemClock }, pinsOf(config));
  let inForce = { config, policy: policyOf(config) };
  const policies = new Policies(policiesOf(config));
  const hosted = createHosted({
    store,
    ledger,
    index: storage.index,
    notes: storage.notes,
    uploads: storage.uploads,
    manifests: mirror.stored,
    policies,
    clock: systemClock,
    onDamage: (repository, digest) => {
      const about = { repository: repositoryText(repository), digest };
      log.error(about, 'hosted content is gone or damaged: push it again');
    },
    mayServe: (repository, content, asker) => mirror.access.mayServe(repository, content, asker),
  });
  const access = await AccessControl.open({
    dataPath: config.storage.path,
    settings: accessOf(config),
    clock: systemClock,
    onTrouble: (message) => log.warn(message),
  });
  const notifications = await Notifications.open({
    dataPath: config.storage.path,
    endpoints: config.notifications,
    clock: systemClock,
    log,
    version,
    sourceAddress: `${hostname()}:${config.listen.port}`,
  });
  const upkeep = new Upkeep({ storage, pins, log, config: () => inForce.config, signal: stopping.signal });

  const app = createApp({
    mirror,
    hosted,
    access,
    notify: (event) => notifications.notify(event),
    clock: systemClock,
    log,
    version,
    policy: () => inForce.policy,
    reach: () => inForce.config.listen,
    ready: () => storage.check(),
    isStopping: () => stopping.signal.aborted,
  });
  let url = '';
  const admin = new Administration({
    ledger,
    pins,
    refetch: mirror.refetch,
    facts: async () => ({
      version,
      url,
      startedAt,
      cache: { bytes: store.room.budget.taken, limit: store.room.budget.limit },
      disk: { freeBytes: await store.room.free(), minFree: store.room.minFree },
      fillsInFlight: mirror.flights.count,
      reconciled: storage.isReconciled,
      recovery: storage.recovery,
    }),
    findDamage: (options) => scrub({ store, ledger, clock: systemClock, ...options }),
    setAside: (record) => setAside(record, { store, ledger }),
    quarantined: async () => (await store.leftovers()).filter(({ kind }) => kind === 'quarantined'),
    lostHosted: () => storage.index.lost(maxLostTold),
    findGarbage: (options) =>
      collectAll({ store, ledger, hosted, before: systemClock.now() - inForce.config.storage.gcGrace, ...options }),
    onDamage: (damage) => logDamage(log, damage),
    onPinned: () => upkeep.checkPins(),
  });
  const socket = await startAdmin(admin, config, log);
  const listening = await startListening(app, { ...config.listen, tls: tls?.material, log }).catch(
    async (error: unknown) => {
      await socket.close();
      throw error;
    },
  );
  url = listening.url;
  if (tls !== undefined) tls.onChange = (material) => listening.useTls(material);
  const reconciling = storage.reconcile(stopping.signal);
  const upkeeping = upkeep.run(admin);
  const journaling = storage.keepJournal(stopping.signal);
  const watching = tls?.run(stopping.signal);

  return {
    url: listening.url,
    reload: (next) => {
      registries.replace(upstreams.take(next));
      pins.configure(pinsOf(next));
      policies.replace(policiesOf(next));
      notifications.replace(next.notifications);
      // What a file cannot give any more is told by the access itself.
      void access
        .replace(accessOf(next))
        .catch((error: unknown) => log.error({ err: error }, 'users were not reloaded'));
      inForce = { config: next, policy: policyOf(next) };
      upkeep.resize();
      tls?.configure(next);
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([listening.stop(inForce.config.shutdownGrace), socket.close()]);
      await mirror.stop();
      await notifications.close();
      await Promise.all([reconciling, upkeeping, journaling, watching]);
      await upstreams.close();
      await storage.close();
    },
  };
}

async function startListening(app: Parameters<typeof listen>[0], at: ListenOptions): Promise<Listening> {
  try {
    return await listen(app, at);
  } catch (error) {
    const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    const reason = inUse ? `port ${at.port} is in use by another program` : messageOf(error);
    throw new StartupError(`cannot listen on ${at.host}:${at.port}: ${reason}`, { cause: error });
  }
}

async function startAdmin(operations: Administration, { storage }: Config, log: Logger): Promise<AdminServer> {
  const socketPath = socketPathOf(storage.path);
  if (!socketPath.ok) throw new StartupError(socketPath.failure.reason);
  try {
    return await serveAdmin({ operations, socketPath: socketPath.value, log });
  } catch (error) {
    throw new StartupError(`the socket for commands cannot be opened: ${messageOf(error)}`, { cause: error });
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

function policiesOf(config: Config): readonly TagPolicy[] {
  return config.private.policies.map(({ repositories, immutableTags, retention }) => ({
    repositories,
    isImmutable: (tag) => immutableTags.some((name) => name.matches(tag)),
    retention: retention && {
      keepLast: retention.keepLast,
      isKept: (tag) => retention.keep.some((name) => name.matches(tag)),
    },
  }));
}

function accessOf({ access, defaultUpstream }: Config): AccessSettings {
  return { ...access, defaultRegistry: defaultUpstream };
}

function pinsOf({ storage, defaultUpstream }: Config): ConfiguredPins {
  return { patterns: storage.pins, defaultRegistry: defaultUpstream ?? undefined };
}

function logFlight(log: Logger, { digest, repository }: Flight, end: FlightEnd): void {
  const about = { digest, repository: repositoryText(repository) };
  if (end.kind === 'stored') log.info(about, 'stored');
  if (end.kind === 'no-room') log.warn(about, 'not stored: there was no room for all of it');
  if (end.kind === 'broken')
    log.warn({ ...about, failure: end.failure.kind, reason: end.failure.reason, err: end.cause }, 'fill failed');
}

function logDamage(log: Logger, damage: Damage): void {
  log.error(damage, damage.repaired ? 'damaged content was fetched again' : 'damaged content was set aside');
}
