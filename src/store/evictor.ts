import { setImmediate } from 'node:timers/promises';
import type { BlobStore, Ledger, Unreferenced, UseOrder } from '../mirror/ports.ts';
import type { Budget } from './budget.ts';
import { Turns } from './turns.ts';

export type Reason = 'cap' | 'age';

export interface Evicted {
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
  /** There is no room although everything went that may go, or not even that would help. */
  readonly onExhausted: (missing: number) => void;
}

/** Looked at together; between two such looks other work gets its turn. */
const candidatesAtOnce = 16;

/** Evicted beyond what is needed, so that not every fill has to evict: this share of the cap, and no more than so many bytes. */
const batch = { share: 0.05, maxBytes: 1024 ** 3 };

/**
 * Makes room: first what serves nobody, then the image that was used longest ago with all that only it refers to, and so on.
 * What is pinned, being read or being written stays, and so does whatever an image that stays refers to.
 */
export class Evictor {
  readonly #deps: Deps;
  readonly #turns = new Turns<'all'>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Frees so many bytes or more, and gives how many; none when all that may go would not be enough. */
  free(bytes: number): Promise<number> {
    return this.#turns.take('all', async () => {
      const { budget, store, pinnedBytes, onExhausted } = this.#deps;
      if (budget.taken - budget.promised - (await pinnedBytes()) < bytes) {
        onExhausted(bytes);
        return 0;
      }
      let freed = 0;
      for (const leftover of await store.leftovers()) {
        if (freed < bytes && (await store.drop(leftover))) freed += leftover.size;
      }
      if (freed >= bytes) return freed;
      const wanted = bytes + Math.min(batch.maxBytes, Math.floor(budget.limit * batch.share));
      freed += await this.#evict('cap', (soFar) => freed + soFar < wanted);
      if (freed < bytes) onExhausted(bytes - freed);
      return freed;
    });
  }

  /** Evicts what was used last before `time`, in milliseconds since 1970. */
  expire(time: number): Promise<number> {
    return this.#turns.take('all', () => this.#evict('age', (_, next) => next.usedAt < time));
  }

  async #evict(reason: Reason, goesOn: (freed: number, next: Unreferenced) => boolean): Promise<number> {
    const { ledger, isPinned, onEvicted } = this.#deps;
    let images = 0;
    let bytes = 0;
    let after: UseOrder | undefined;
    look: for (;;) {
      const page = await ledger.leastUsed({ after, limit: candidatesAtOnce });
      if (page.length === 0) break;
      for (const image of page) {
        if (!goesOn(bytes, image)) break look;
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
    const gone = await ledger.evict(digest, await store.inUse());
    // All at once, so that nothing of the same digest can come between.
    await Promise.all(gone.map((blob) => store.delete(blob.digest, blob.size)));
    return gone.length === 0 ? undefined : gone.reduce((sum, { size }) => sum + size, 0);
  }
}
