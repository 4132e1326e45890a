import { setImmediate } from 'node:timers/promises';
import { type BlobStore, type Ledger, NoRoom, type Unreferenced, type UseOrder } from '../mirror/ports.ts';
import { Turns } from '../ops/turns.ts';
import type { Budget } from './budget.ts';
import type { Missing } from './room.ts';

type Reason = 'room' | 'age';

interface Evicted {
  readonly reason: Reason;
  /** Images, and blobs that belonged to none. */
  readonly images: number;
  readonly bytes: number;
}

interface Deps {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly budget: Budget;
  readonly isPinned: (image: Unreferenced) => boolean;
  readonly pinnedBytes: () => Promise<number>;
  readonly onEvicted: (evicted: Evicted) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Nothing more goes once it is aborted. */
  readonly signal: AbortSignal;
  /** There is no room although everything went that may go, or not even that would help. */
  readonly onExhausted: (missing: number) => void;
  /** Of what goes when nobody waits for it. */
  readonly onError: (error: unknown) => void;
}

/** Looked at together; between two such looks other work gets its turn. */
const candidatesAtOnce = 16;

/** Who needs more small blobs to go than that takes is passed through; what has gone by then is gone. */
const patienceMs = 4_000;

/**
 * Evicted beyond what is needed, so that not every fill has to evict: this share of what is stored, no more than so many bytes,
 * and nothing that was used just now, such as the image of which the next layer is about to be asked for.
 */
const batch = { share: 0.05, maxBytes: 1024 ** 3, idleMs: 10 * 60 * 1000 };

/**
 * Makes room: first what serves nobody, then the image that was used longest ago with all that only it refers to, and so on.
 * What is pinned, being read or being written stays, and so does whatever an image that stays refers to.
 */
export class Evictor {
  readonly #deps: Deps;
  readonly #turns = new Turns<'all'>();
  #waiting = 0;
  #behind: Promise<unknown> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * True when what was missing is free now. Nothing goes when all that may go would not be enough. Who waits does so for a
   * named time at most; what goes beyond what is missing goes when nobody waits.
   */
  async free(missing: Missing): Promise<boolean> {
    const endsAt = performance.now() + patienceMs;
    this.#waiting++;
    try {
      return await this.#turns.take('all', () => this.#free(missing, endsAt));
    } finally {
      this.#waiting--;
    }
  }

  async #free(missing: Missing, endsAt: number): Promise<boolean> {
    const { budget, onExhausted } = this.#deps;
    const bytes = await missing();
    if (bytes <= 0) return true;
    if (bytes > (await this.#mayGo())) {
      onExhausted(bytes);
      return false;
    }
    let freed = await this.#dropLeftovers(bytes);
    if (freed >= bytes) return true;
    freed += await this.#evict('room', (soFar) => freed + soFar < bytes && performance.now() < endsAt);
    if (freed < bytes) {
      onExhausted(bytes - freed);
      return false;
    }
    const more = Math.min(batch.maxBytes, Math.floor(budget.taken * batch.share)) - (freed - bytes);
    const usedBefore = this.#deps.now() - batch.idleMs;
    const isMore = (soFar: number, next: Unreferenced) =>
      soFar < more && next.usedAt < usedBefore && this.#waiting === 0;
    this.#behind = this.#turns.take('all', () => this.#goOn(isMore)).catch(this.#deps.onError);
    return true;
  }

  /** Behind the back of who waited. */
  async #goOn(isMore: (freed: number, next: Unreferenced) => boolean): Promise<void> {
    await this.#evict('room', isMore);
    if (this.#waiting === 0) await this.#deps.store.keepBallast();
  }

  /** Resolves when nothing is going. */
  async idle(): Promise<void> {
    await this.#behind;
    await this.#turns.take('all', () => Promise.resolve());
  }

  /** Bytes, at the most. */
  async #mayGo(): Promise<number> {
    const { budget, store, pinnedBytes } = this.#deps;
    return budget.taken - budget.promised - (await store.bytesInUse()) - (await pinnedBytes());
  }

  async #dropLeftovers(bytes: number): Promise<number> {
    const { store } = this.#deps;
    let freed = 0;
    for (const leftover of await store.leftovers()) {
      if (freed < bytes && (await store.drop(leftover))) freed += leftover.size;
    }
    return freed;
  }

  /** Evicts what was used last before `time`, in milliseconds since 1970, as long as nobody waits. */
  expire(time: number): Promise<number> {
    return this.#turns.take('all', () => this.#evict('age', (_, next) => next.usedAt < time && this.#waiting === 0));
  }

  async #evict(reason: Reason, goesOn: (freed: number, next: Unreferenced) => boolean): Promise<number> {
    const { ledger, store, isPinned, onEvicted } = this.#deps;
    let images = 0;
    let bytes = 0;
    let after: UseOrder | undefined;
    look: for (;;) {
      const from = after;
      const page = await withBallast(store, () => ledger.leastUsed({ after: from, limit: candidatesAtOnce }));
      if (page.length === 0) break;
      for (const image of page) {
        if (this.#deps.signal.aborted || !goesOn(bytes, image)) break look;
        after = image;
        if (isPinned(image)) continue;
        const freed = await this.#evictImage(image);
        if (freed === undefined) continue;
        bytes += freed;
        images++;
        // What an index leaves behind was used when it was: it comes next.
        after = { usedAt: image.usedAt, digest: '' };
        break;
      }
      await setImmediate();
    }
    if (images > 0) onEvicted({ reason, images, bytes });
    return bytes;
  }

  /** Bytes that went; undefined when the image has to stay after all. */
  async #evictImage({ digest }: Unreferenced): Promise<number | undefined> {
    const { ledger, store } = this.#deps;
    const inUse = await store.inUse();
    const gone = await withBallast(store, () => ledger.evict(digest, inUse));
    // All at once, so that nothing of the same digest can come between.
    await Promise.all(gone.map((blob) => store.delete(blob.digest, blob.size)));
    return gone.length === 0 ? undefined : gone.reduce((sum, { size }) => sum + size, 0);
  }
}

/** The ledger needs some room to write down what goes. */
async function withBallast<T>(store: BlobStore, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof NoRoom) || !(await store.dropBallast())) throw error;
    return write();
  }
}
