/** One after the other per key: what measures a file and then changes it must not meet another that does so too. */
export class Turns<K> {
  readonly #last = new Map<K, Promise<unknown>>();

  async take<T>(key: K, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
