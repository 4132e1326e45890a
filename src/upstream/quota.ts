import type { Clock } from '../mirror/ports.ts';
import type { Answer, Exchange, RegistryRequest } from './exchange.ts';

/** Docker Hub's account of our pulls, as last read. Absent headers mean no limit (Docker, "Pull usage and limits"). */
export interface Quota {
  readonly limit: number | undefined;
  readonly remaining: number;
  readonly windowSeconds: number | undefined;
  /** Whose pulls are counted: an address or an account's id. */
  readonly source?: string;
  /** Milliseconds since 1970. */
  readonly readAt: number;
}

export class QuotaReader {
  readonly #clock: Clock;
  readonly #hasCredentials: boolean;
  #latest: Quota | undefined;

  constructor(clock: Clock, hasCredentials: boolean) {
    this.#clock = clock;
    this.#hasCredentials = hasCredentials;
  }

  get latest(): Quota | undefined {
    return this.#latest;
  }

  readonly reading = (next: Exchange<RegistryRequest>): Exchange<RegistryRequest> => {
    return async (request) => {
      const outcome = await next(request);
      // The address's own quota is not of interest to who has an account.
      const counts = request.kind === 'manifest' && !(request.anonymously && this.#hasCredentials);
      if (counts && outcome.ok) this.#latest = quotaOf(outcome.value, this.#clock.now()) ?? this.#latest;
      return outcome;
    };
  };
}

function quotaOf(answer: Answer, readAt: number): Quota | undefined {
  const remaining = parse(answer.header('ratelimit-remaining'));
  if (remaining === undefined) return undefined;
  const limit = parse(answer.header('ratelimit-limit'));
  const source = answer.header('docker-ratelimit-source');
  return {
    limit: limit?.count,
    remaining: remaining.count,
    windowSeconds: limit?.windowSeconds ?? remaining.windowSeconds,
    ...(source === undefined ? {} : { source }),
    readAt,
  };
}

/** `100;w=21600`: a count, and the seconds within which it is counted. */
function parse(header: string | undefined): { count: number; windowSeconds: number | undefined } | undefined {
  const match = /^\s*(\d{1,15})\s*(?:;\s*w=(\d{1,15}))?/.exec(header ?? '');
  if (match === null) return undefined;
  return { count: Number(match[1]), windowSeconds: match[2] === undefined ? undefined : Number(match[2]) };
}
