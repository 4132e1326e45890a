/** Lets any number of waiters sleep until something has moved. */
export class Movement {
  #next = deferred();

  /** Resolves at the next {@link moved}. Take it before looking at what moves, or a move in between is missed. */
  get next(): Promise<void> {
    return this.#next.promise;
  }

  moved(): void {
    const { resolve } = this.#next;
    this.#next = deferred();
    resolve();
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
