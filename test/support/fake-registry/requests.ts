import type { IncomingHttpHeaders } from 'node:http';

export type RequestKind = 'ping' | 'token' | 'manifest' | 'blob' | 'cdn' | 'tags' | 'other';

/** Which of the listeners was asked. */
export type Place = 'registry' | 'cdn' | 'token';

/**
 * `complete`: all that was to be sent went to the system. `cut`: a fault closed the connection. `abandoned`: the client
 * closed it, or the registry was stopped.
 */
type Outcome = 'open' | 'complete' | 'cut' | 'abandoned';

export interface Identity {
  readonly scheme: 'none' | 'basic' | 'bearer' | 'other';
  /** Basic: the claimed name. Bearer: the token's owner or `anonymous`; undefined for a token never issued here. */
  readonly user: string | undefined;
}

export interface Arrival extends Identity {
  readonly at: Place;
  readonly kind: RequestKind;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly repository: string | undefined;
  readonly reference: string | undefined;
  readonly range: string | undefined;
  readonly accept: string | undefined;
  readonly acceptEncoding: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

export interface RecordedRequest extends Arrival {
  /** Undefined until the head of the answer is sent. */
  readonly status: number | undefined;
  /** Bytes of the body, without its framing, that went to the system. */
  readonly bytesSent: number;
  readonly outcome: Outcome;
}

/** Fields compare by equality. A field given as undefined asks for requests without it: `{ range: undefined }`. */
export type ArrivalFilter = Partial<
  Pick<Arrival, 'at' | 'kind' | 'method' | 'path' | 'repository' | 'reference' | 'range' | 'scheme' | 'user'>
>;
export type RequestFilter = ArrivalFilter & Partial<Pick<RecordedRequest, 'status' | 'outcome'>>;

export function matches(request: Arrival, filter: RequestFilter): boolean {
  return Object.entries(filter).every(([field, wanted]) => request[field as keyof Arrival] === wanted);
}

/** The record of one request while its answer is on the way. */
export interface Exchange extends RecordedRequest {
  answered(status: number): void;
  sent(bytes: number): void;
  ended(outcome: Exclude<Outcome, 'open'>): void;
}

interface Waiter {
  readonly filter: RequestFilter;
  readonly count: number;
  readonly resolve: (found: readonly RecordedRequest[]) => void;
  readonly reject: (reason: Error) => void;
}

export class RequestLog {
  #requests: RecordedRequest[] = [];
  #waiters: Waiter[] = [];
  #closed = false;

  arrived(arrival: Arrival): Exchange {
    const changed = () => this.#settleWaiters();
    const progress = { status: undefined as number | undefined, bytesSent: 0, outcome: 'open' as Outcome };
    const exchange = Object.assign(progress, arrival, {
      answered(status: number) {
        progress.status = status;
        changed();
      },
      sent(bytes: number) {
        progress.bytesSent += bytes;
      },
      ended(outcome: Outcome) {
        progress.outcome = outcome;
        changed();
      },
    });
    this.#requests.push(exchange);
    changed();
    return exchange;
  }

  find(filter: RequestFilter = {}): readonly RecordedRequest[] {
    return this.#requests.filter((request) => matches(request, filter));
  }

  waitFor(filter: RequestFilter, count: number): Promise<readonly RecordedRequest[]> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ filter, count, resolve, reject });
      this.#settleWaiters();
    });
  }

  reset(): void {
    this.#requests = [];
  }

  /** Nothing will arrive any more: who still waits, or ever will, must hear it. */
  close(): void {
    this.#closed = true;
    this.#settleWaiters();
  }

  #settleWaiters(): void {
    this.#waiters = this.#waiters.filter(({ filter, count, resolve, reject }) => {
      const found = this.find(filter);
      if (found.length >= count) resolve(found);
      else if (this.#closed) reject(new Error(`stopped after ${found.length} of ${count}: ${JSON.stringify(filter)}`));
      else return true;
      return false;
    });
  }
}
