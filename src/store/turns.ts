import type { Digest } from '../oci/digest.ts';

/** One after the other per digest: what measures a file and then changes it must not meet another that does so too. */
export class Turns {
  readonly #last = new Map<Digest, Promise<unknown>>();

  async take<T>(digest: Digest, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(digest);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#last.set(digest, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(digest) === mine) this.#last.delete(digest);
    }
  }
}
