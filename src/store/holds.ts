import type { Digest } from '../oci/digest.ts';

/** Who has a blob's bytes open. An unlinked file takes room for as long as somebody has it open. */
export class Holds {
  readonly #held = new Map<Digest, { holders: number; readonly afterwards: (() => void)[] }>();

  /** The function that is returned lets go, once. */
  hold(digest: Digest): () => void {
    const entry = this.#held.get(digest) ?? { holders: 0, afterwards: [] };
    this.#held.set(digest, entry);
    entry.holders++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      entry.holders--;
      if (entry.holders > 0) return;
      this.#held.delete(digest);
      for (const work of entry.afterwards) work();
    };
  }

  /** At once, or when the last holder lets go. */
  afterwards(digest: Digest, work: () => void): void {
    const entry = this.#held.get(digest);
    if (entry === undefined) work();
    else entry.afterwards.push(work);
  }

  has(digest: Digest): boolean {
    return this.#held.has(digest);
  }

  digests(): Iterable<Digest> {
    return this.#held.keys();
  }
}
