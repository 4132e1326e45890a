import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Clock } from '../mirror/ports.ts';
import { fail } from '../oci/result.ts';
import type { Answer, Exchange, Request } from './exchange.ts';
import { isWithin, type Limits } from './limits.ts';
import { colon, messageOf } from './message.ts';
import { clampSeconds, retryAfterHeader, retryAfterText } from './retry-after.ts';

interface Pause {
  readonly since: number;
  readonly seconds: number;
  readonly reason: string;
}

interface RateLimitOptions<R> {
  readonly clock: Clock;
  readonly limits: Limits;
  /** Asks of one group count against one limit. There are but a few groups. */
  readonly groupOf: (request: R) => string;
}

/** After a 429 nobody of the group asks before its time: asking would only prolong it. */
export function rateLimit<R extends Request>(options: RateLimitOptions<R>): (next: Exchange<R>) => Exchange<R> {
  const { clock, groupOf } = options;
  const pauses = new Map<string, Pause>();
  return (next) => async (request) => {
    const group = groupOf(request);
    const pause = pauses.get(group);
    if (pause !== undefined) {
      if (isWithin(clock.now(), pause.since, pause.seconds * 1000)) return fail(failureOf(pause, clock.now()));
      pauses.delete(group);
    }
    const outcome = await next(request);
    if (!outcome.ok || outcome.value.status !== 429) return outcome;
    const begun = await pauseAfter(outcome.value, request, options);
    pauses.set(group, begun);
    return fail(failureOf(begun, begun.since));
  };
}

async function pauseAfter(
  answer: Answer,
  { url }: Request,
  { clock, limits }: Pick<RateLimitOptions<never>, 'clock' | 'limits'>,
): Promise<Pause> {
  const message = await messageOf(answer, limits);
  const since = clock.now();
  const seconds =
    retryAfterHeader(answer.header('retry-after'), since) ?? retryAfterText(message) ?? limits.rateLimitedSeconds;
  return {
    since,
    seconds: clampSeconds(seconds, limits.maxRateLimitedSeconds),
    reason: `${url.origin} answered 429${colon(message)}`,
  };
}

function failureOf({ since, seconds, reason }: Pause, now: number): UpstreamFailure {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds - (now - since) / 1000));
  return { kind: 'rate-limited', reason, retryAfterSeconds };
}
