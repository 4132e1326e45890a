import type { Administration } from '../admin/administration.ts';
import type { Config } from '../config/config.ts';
import { limits } from '../hosted/limits.ts';
import type { Pins } from '../mirror/pins.ts';
import { systemClock } from '../ops/clock.ts';
import type { Logger } from '../ops/logger.ts';
import { repeat } from '../ops/schedule.ts';
import { Evictor } from '../store/evictor.ts';
import type { Storage } from './storage.ts';

interface Deps {
  readonly storage: Storage;
  readonly pins: Pins;
  readonly log: Logger;
  /** The one in force. */
  readonly config: () => Config;
  /** Aborts when the service stops. */
  readonly signal: AbortSignal;
}

const every = {
  /** A look at how much room the disk has left for others, and at what has become too old. */
  lookMs: 30_000,
  /** Between two passes over the whole store, where they are wanted. */
  scrubMs: 24 * 60 * 60 * 1000,
  /** A look for uploads that nobody goes on with. */
  uploadsMs: 60 * 60 * 1000,
  /** Of the complaint that there is no room. */
  complaintMs: 60_000,
} as const;

/** What goes on beside the requests: making room, removing what is too old or serves nobody, looking for damage. */
export class Upkeep {
  readonly #deps: Deps;
  readonly #evictor: Evictor;
  /** As last told. */
  #arePinsTooMuch = false;
  #complainedAt = Number.NEGATIVE_INFINITY;
  #resizing: Promise<void> = Promise.resolve();

  readonly #onError = (error: unknown): void => {
    this.#deps.log.error({ err: error }, 'upkeep failed');
  };

  constructor(deps: Deps) {
    const { storage, pins, log } = deps;
    this.#deps = deps;
    this.#evictor = new Evictor({
      store: storage.store,
      ledger: storage.ledger,
      budget: storage.store.room.budget,
      isPinned: (image) => pins.holds(image),
      pinnedBytes: () => pins.bytes(),
      onEvicted: (evicted) => log.info(evicted, 'evicted'),
      onExhausted: (missing) => this.#complain(missing),
      onError: this.#onError,
      now: () => systemClock.now(),
      signal: deps.signal,
    });
    storage.store.room.makeRoom = (missing) => this.#evictor.free(missing);
  }

  #complain(missing: number): void {
    const now = systemClock.now();
    if (now - this.#complainedAt < every.complaintMs) return;
    this.#complainedAt = now;
    const { limit, taken } = this.#deps.storage.store.room.budget;
    this.#deps.log.warn(
      { missing, taken, limit },
      'no room, and nothing that may go: pulls are passed through uncached',
    );
  }

  /** Takes over sizes of a new configuration; what is too much goes at once. */
  resize(): void {
    const { storage, config } = this.#deps;
    const { maxSize, minFree } = config().storage;
    storage.store.room.budget.limit = maxSize;
    this.#resizing = storage.store
      .leaveFree(minFree)
      .then(() => this.#look())
      .catch(this.#onError);
  }

  /** Tells once when they do. */
  async checkPins(): Promise<void> {
    const { pins, log, storage } = this.#deps;
    const { limit } = storage.store.room.budget;
    const pinnedBytes = await pins.bytes();
    const isTooMuch = pinnedBytes > limit;
    if (isTooMuch && !this.#arePinsTooMuch) {
      log.warn({ pinnedBytes, limit }, 'pinned images alone exceed storage.maxSize: nothing else can be cached');
    }
    this.#arePinsTooMuch = isTooMuch;
  }

  /** Until the service stops. Never rejects. */
  async run(admin: Administration): Promise<void> {
    const { config, signal } = this.#deps;
    const onError = this.#onError;
    await Promise.all([
      repeat(() => this.#look(), { every: () => every.lookMs, atOnce: true, signal, onError }),
      repeat(() => this.#expireUploads(), { every: () => every.uploadsMs, atOnce: true, signal, onError }),
      repeat(() => this.#scrub(admin, signal), { every: () => every.scrubMs, atOnce: true, signal, onError }),
      repeat(() => this.#collectGarbage(admin, signal), { every: () => config().storage.gcEvery, signal, onError }),
    ]);
    await this.#resizing;
    await this.#evictor.idle();
  }

  async #look(): Promise<void> {
    const { storage, config } = this.#deps;
    const { room } = storage.store;
    await this.checkPins();
    await this.#evictor.free(() => room.missing(0));
    await storage.store.keepBallast();
    const { maxAge } = config().storage;
    if (maxAge !== undefined) await this.#evictor.expire(systemClock.now() - maxAge);
  }

  async #expireUploads(): Promise<void> {
    const { storage, log } = this.#deps;
    const expired = await storage.uploads.expire(systemClock.now() - limits.uploadIdleMs);
    if (expired > 0) log.info({ uploads: expired }, 'removed uploads that nobody went on with');
  }

  async #collectGarbage(admin: Administration, signal: AbortSignal): Promise<void> {
    const { removed, bytes } = await admin.collectGarbage({ dryRun: false }, { signal, onProgress: () => undefined });
    if (removed.length > 0) this.#deps.log.info({ removed: removed.length, bytes }, 'removed what served nobody');
  }

  async #scrub(admin: Administration, signal: AbortSignal): Promise<void> {
    const { scrubRate } = this.#deps.config().storage;
    if (scrubRate === undefined) return;
    const { blobs, bytes, damaged } = await admin.scrub(scrubRate, signal);
    this.#deps.log.info({ blobs, bytes, damaged: damaged.length }, 'stored content was hashed again');
  }
}
