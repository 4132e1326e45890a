import type { Clock } from '../mirror/ports.ts';
import type { Result } from '../oci/result.ts';
import type { Answer, Exchange, Trouble } from './exchange.ts';
import type { Limits } from './limits.ts';

const passingStatuses: ReadonlySet<number> = new Set([408, 500, 502, 503, 504]);

/**
 * Trouble that is quick to show and may be over at once. Not a connect time-out, DNS or TLS: asking again would only use up
 * the time in which another endpoint could answer.
 */
const passingCodes: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

interface RetryOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits: Limits;
}

/** Asks again, from the registry's own URL, while no body has been handed out and the deadline leaves room. */
export function retry({ clock, random, limits }: RetryOptions): (next: Exchange) => Exchange {
  return (next) => async (request) => {
    for (let attempt = 1; ; attempt++) {
      const outcome = await next(request);
      // Half of each step is jitter, so that clients who failed together do not come back together.
      const pauseMs = limits.backoffMs * 2 ** (attempt - 1) * (0.5 + random() / 2);
      const again = attempt < limits.attemptsPerEndpoint && mayPass(outcome) && request.bound.remainingMs > pauseMs;
      if (!again) return outcome;
      if (outcome.ok) {
        await outcome.value.body.discard({ bytes: limits.maxErrorBodyBytes, milliseconds: limits.errorBodyMs });
      }
      await clock.sleep(pauseMs, request.bound.signal);
    }
  };
}

function mayPass(outcome: Result<Answer, Trouble>): boolean {
  if (!outcome.ok) return outcome.failure.kind === 'no-answer' && passingCodes.has(outcome.failure.code);
  const { status } = outcome.value;
  // Who says when to come back does not want to be asked before.
  return passingStatuses.has(status) && outcome.value.header('retry-after') === undefined;
}
