import type { Repository } from '../oci/repository-name.ts';
import { fail, type Result } from '../oci/result.ts';
import type { UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';

export type Action = 'pull' | 'push' | 'delete';

export interface Rights {
  /** In this repository the asker has what everybody may have, and no more. */
  readonly isAnonymous: (repository: Repository) => boolean;
  /** Whether the rules of this server let it. */
  readonly may: (action: Action, repository: Repository) => boolean;
}

/** The service itself, which has no rules to keep. */
export const ownRights: Rights = { isAnonymous: () => false, may: () => true };

/** Before it is known who asks. */
export const noRights: Rights = { isAnonymous: () => true, may: () => false };

/** Who asks, and how long it waited for upstreams. */
export class Asker {
  readonly #endsAt = performance.now() + limits.patienceMs;
  #upstreamMs = 0;

  #rights: Rights;

  constructor(rights: Rights) {
    this.#rights = rights;
  }

  /** Once it is known who it is. */
  actFor(rights: Rights): void {
    this.#rights = rights;
  }

  /** Holds no account of this server, or none that reaches this repository: gets what everybody may have. */
  isAnonymousIn(repository: Repository): boolean {
    return this.#rights.isAnonymous(repository);
  }

  may(action: Action, repository: Repository): boolean {
    return this.#rights.may(action, repository);
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
