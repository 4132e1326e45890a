/** The pieces without so many bytes at the beginning, of a registry that ignores `Range`. Can be left at any moment. */
export class Rest implements AsyncIterableIterator<Uint8Array> {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #skip: number;

  constructor(pieces: AsyncIterable<Uint8Array>, skip: number) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#skip = skip;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done === true) return next;
      const fresh = next.value.subarray(Math.min(this.#skip, next.value.length));
      this.#skip -= next.value.length - fresh.length;
      if (fresh.length > 0) return { value: fresh };
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#pieces.return?.();
    return { done: true, value: undefined };
  }
}
