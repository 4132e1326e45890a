import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Clock } from '../mirror/ports.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Logger } from '../ops/logger.ts';
import type { Answer, Exchange, NoAnswer, Trouble } from './exchange.ts';
import { isWithin, type Limits } from './limits.ts';

interface HealthOptions {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: Limits;
}

/** Remembers for a while that an origin cannot be connected, so that nobody else waits for the same. */
export function health(options: HealthOptions): (next: Exchange) => Exchange {
  const circuit = new Circuit(options);
  return (next) => async (request) => {
    const entry = circuit.enter();
    if (!entry.ok) return entry;
    let outcome: Result<Answer, Trouble> | undefined;
    try {
      outcome = await next(request);
    } finally {
      circuit.leave(entry.value, outcome);
    }
    if (outcome.ok || outcome.failure.kind !== 'no-answer') return outcome;
    return fail({ kind: 'unavailable', reason: outcome.failure.reason, retryAfterSeconds: circuit.secondsToProbe });
  };
}

type Entry = 'free' | 'probe';

/** Closed; or open with a reason; or, once its time is over, open with one probe under way. */
class Circuit {
  readonly #options: HealthOptions;
  #open: { readonly since: number; readonly reason: string } | undefined;
  #probing = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  get secondsToProbe(): number {
    if (this.#open === undefined) return 1;
    const { clock, limits } = this.#options;
    const milliseconds = Math.min(this.#open.since - clock.now(), 0) + limits.circuitOpenMs;
    return Math.max(1, Math.ceil(milliseconds / 1000));
  }

  enter(): Result<Entry, UpstreamFailure> {
    if (this.#open === undefined) return ok('free');
    const { clock, limits } = this.#options;
    const waiting = isWithin(clock.now(), this.#open.since, limits.circuitOpenMs);
    if (!waiting && !this.#probing) {
      this.#probing = true;
      return ok('probe');
    }
    const next = waiting ? `not asked again for ${this.secondsToProbe} s` : 'being probed right now';
    const reason = `${this.#open.reason}; ${next}`;
    return fail({ kind: 'unavailable', reason, retryAfterSeconds: this.secondsToProbe });
  }

  leave(entry: Entry, outcome: Result<Answer, Trouble> | undefined): void {
    if (entry === 'probe') this.#probing = false;
    if (outcome === undefined || (!outcome.ok && saysNothing(outcome.failure))) return;
    if (!outcome.ok && isDown(outcome.failure)) this.#opened(outcome.failure.reason);
    else this.#closed();
  }

  #opened(reason: string): void {
    const { clock, log, endpoint, limits } = this.#options;
    if (this.#open === undefined)
      log.warn({ endpoint, reason, milliseconds: limits.circuitOpenMs }, 'upstream is down');
    this.#open = { since: clock.now(), reason };
  }

  #closed(): void {
    if (this.#open === undefined) return;
    this.#open = undefined;
    this.#options.log.warn({ endpoint: this.#options.endpoint }, 'upstream is back');
  }
}

function isDown(trouble: Trouble): trouble is NoAnswer {
  if (trouble.kind !== 'no-answer' || trouble.elsewhere) return false;
  return trouble.cause === 'connection' || trouble.cause === 'silence';
}

/** Trouble elsewhere does say something: the endpoint was well enough to redirect. */
function saysNothing(trouble: Trouble): boolean {
  if (trouble.kind !== 'no-answer' || trouble.elsewhere) return false;
  return trouble.cause === 'abandoned' || trouble.cause === 'out-of-time';
}
