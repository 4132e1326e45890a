import type { Headers } from './reply.ts';

export interface PullLimitOptions {
  readonly limit: number;
  readonly remaining: number;
  readonly windowSeconds: number;
}

/** Docker Hub's account of pulls: a manifest GET costs one, a HEAD nothing, and both tell how many are left. */
export class PullLimit {
  readonly #limit: number;
  readonly #windowSeconds: number;
  #remaining: number;

  constructor({ limit, remaining, windowSeconds }: PullLimitOptions) {
    this.#limit = limit;
    this.#windowSeconds = windowSeconds;
    this.#remaining = remaining;
  }

  /** False if there was nothing left to spend. */
  spend(): boolean {
    if (this.#remaining <= 0) return false;
    this.#remaining -= 1;
    return true;
  }

  get remaining(): number {
    return this.#remaining;
  }

  get headers(): Headers {
    return {
      'ratelimit-limit': `${this.#limit};w=${this.#windowSeconds}`,
      'ratelimit-remaining': `${this.#remaining};w=${this.#windowSeconds}`,
      'docker-ratelimit-source': '127.0.0.1',
    };
  }
}
