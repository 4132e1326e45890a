import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Clock } from '../mirror/ports.ts';
import type { Answer, Request } from './exchange.ts';
import type { Limits } from './limits.ts';
import { colon, messageOf } from './message.ts';
import { clampSeconds, retryAfterHeader } from './retry-after.ts';

/** What an answer other than 2xx means. Ends its body. */
export async function failureOf(
  answer: Answer,
  { url }: Pick<Request, 'url'>,
  { clock, limits }: { readonly clock: Clock; readonly limits: Limits },
): Promise<UpstreamFailure> {
  const { status } = answer;
  const reason = `${url.origin} answered ${status}${colon(await messageOf(answer, limits))}`;
  if (status === 404) return { kind: 'not-found', reason };
  if (status === 401 || status === 403) return { kind: 'denied', reason };
  if (status !== 408 && status < 500) return { kind: 'wrong-answer', reason };
  const seconds = retryAfterHeader(answer.header('retry-after'), clock.now()) ?? limits.unavailableSeconds;
  return {
    kind: 'unavailable',
    reason,
    retryAfterSeconds: clampSeconds(seconds, limits.maxRateLimitedSeconds),
    status,
  };
}

/** From the one that says most to the one that says least: "not there" is true only where all could be asked. */
const weight: Readonly<Record<UpstreamFailure['kind'], number>> = {
  'rate-limited': 4,
  unavailable: 3,
  'wrong-answer': 2,
  denied: 1,
  'not-found': 0,
};

/** What to report of an upstream none of whose endpoints gave anything. */
export function verdictOf(failures: readonly UpstreamFailure[]): UpstreamFailure | undefined {
  return [...failures].sort((a, b) => weight[b.kind] - weight[a.kind] || secondsOf(a) - secondsOf(b))[0];
}

function secondsOf(failure: UpstreamFailure): number {
  return 'retryAfterSeconds' in failure ? failure.retryAfterSeconds : 0;
}
