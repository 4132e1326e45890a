/** The outcome of a run; `collapsed` for those who joined one that somebody else had started. */
export interface Shared<T> {
  readonly result: Promise<T>;
  readonly collapsed: boolean;
}

/** One run of a piece of work for all who ask for it while it is under way. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Shared<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return { result: running, collapsed: true };
    const result = work().finally(() => this.#running.delete(key));
    this.#running.set(key, result);
    return { result, collapsed: false };
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }
}
