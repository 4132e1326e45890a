/** Who asks, and how long it waited for upstreams. */
export class Asker {
  /** Holds no account of this server: gets what everybody may have. */
  readonly isAnonymous: boolean;
  #upstreamMs = 0;

  constructor({ isAnonymous }: { readonly isAnonymous: boolean }) {
    this.isAnonymous = isAnonymous;
  }

  /** Milliseconds. */
  get upstreamMs(): number {
    return Math.round(this.#upstreamMs);
  }

  async awaiting<T>(upstream: Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await upstream;
    } finally {
      this.#upstreamMs += performance.now() - start;
    }
  }
}
