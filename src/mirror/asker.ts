import { fail, type Result } from '../oci/result.ts';
import type { UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';

/** Who asks, and how long it waited for upstreams. */
export class Asker {
  /** Holds no account of this server: gets what everybody may have. */
  readonly isAnonymous: boolean;
  readonly #endsAt = performance.now() + limits.patienceMs;
  #upstreamMs = 0;

  constructor({ isAnonymous }: { readonly isAnonymous: boolean }) {
    this.isAnonymous = isAnonymous;
  }

  /** Milliseconds. */
  get upstreamMs(): number {
    return Math.round(this.#upstreamMs);
  }

  get isOutOfPatience(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /** Several waits, each with a bound of its own, may still be too much for one request: then what was begun goes on without it. */
  async awaiting<T, F>(upstream: Promise<Result<T, F>>): Promise<Result<T, F | UpstreamFailure>> {
    const start = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<Result<never, UpstreamFailure>>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, this.#endsAt - start), fail(notInTime));
    });
    try {
      return await Promise.race([upstream, tooLate]);
    } finally {
      clearTimeout(timer);
      this.#upstreamMs += performance.now() - start;
    }
  }
}

const notInTime: UpstreamFailure = {
  kind: 'unavailable',
  reason: `the upstream did not answer within ${limits.patienceMs / 1000} s`,
  retryAfterSeconds: 1,
};
