import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Ask, Clock } from '../mirror/ports.ts';
import type { RepositoryName } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Bound, Bounds } from './bound.ts';
import { type Answer, type Exchange, type RegistryRequest, urlText } from './exchange.ts';
import type { Limits } from './limits.ts';
import { failureOf, verdictOf } from './verdict.ts';

export interface Endpoint {
  readonly url: URL;
  readonly exchange: Exchange<RegistryRequest>;
}

export interface Surroundings {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly bounds: Bounds;
  readonly onBytes: (count: number) => void;
}

/** One ask as put to one endpoint. */
export class Conversation {
  readonly bound: Bound;
  readonly #endpoint: Endpoint;
  readonly #name: RepositoryName;
  readonly #anonymously: boolean;
  readonly #surroundings: Surroundings;

  constructor(
    endpoint: Endpoint,
    bound: Bound,
    ask: Ask & { readonly name: RepositoryName },
    surroundings: Surroundings,
  ) {
    this.bound = bound;
    this.#endpoint = endpoint;
    this.#name = ask.name;
    this.#anonymously = ask.anonymously ?? false;
    this.#surroundings = surroundings;
  }

  get origin(): string {
    return this.#endpoint.url.origin;
  }

  /** `path` follows `/v2/NAME/`. Whatever status the answer has, except 429. */
  async send({ kind, method, path, headers = {} }: Message): Promise<Result<Answer, UpstreamFailure>> {
    const url = new URL(`${urlText(this.#endpoint.url)}/v2/${this.#name}/${path}`);
    const outcome = await this.#endpoint.exchange({
      kind,
      method,
      url,
      headers,
      bound: this.bound,
      name: this.#name,
      anonymously: this.#anonymously,
    });
    if (outcome.ok) return outcome;
    const { failure } = outcome;
    return fail(
      failure.kind === 'no-answer' ? { kind: 'unavailable', reason: failure.reason, retryAfterSeconds: 1 } : failure,
    );
  }

  /** Only 2xx is an answer. */
  async ask(message: Message): Promise<Result<Answer, UpstreamFailure>> {
    const outcome = await this.send(message);
    if (!outcome.ok) return outcome;
    const { status } = outcome.value;
    return status >= 200 && status <= 299 ? ok(outcome.value) : fail(await this.failureOf(outcome.value));
  }

  failureOf(answer: Answer): Promise<UpstreamFailure> {
    return failureOf(answer, this.#endpoint, this.#surroundings);
  }

  wrong(what: string): Result<never, UpstreamFailure> {
    return fail({ kind: 'wrong-answer', reason: `${this.origin} ${what}` });
  }
}

interface Message extends Pick<RegistryRequest, 'kind' | 'method'> {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The first endpoint that gives what was asked for; each but the last leaves the others their share of the time. */
export async function firstOf<T>(
  endpoints: readonly Endpoint[],
  ask: Ask & { readonly name: RepositoryName },
  surroundings: Surroundings,
  converse: (conversation: Conversation) => Promise<Result<T, UpstreamFailure>>,
): Promise<Result<T, UpstreamFailure>> {
  const endsAt = performance.now() + ask.deadlineMs;
  const failures: UpstreamFailure[] = [];
  for (const [index, endpoint] of endpoints.entries()) {
    const share = (endsAt - performance.now()) / (endpoints.length - index);
    if (ask.signal?.aborted || (share <= 0 && index > 0)) break;
    const bound = surroundings.bounds.start({ milliseconds: share, signal: ask.signal });
    try {
      const outcome = await converse(new Conversation(endpoint, bound, ask, surroundings));
      if (outcome.ok) return outcome;
      failures.push(outcome.failure);
    } finally {
      if (!bound.kept) bound[Symbol.dispose]();
    }
  }
  return fail(verdictOf(failures) ?? { kind: 'unavailable', reason: 'whoever asked has left', retryAfterSeconds: 1 });
}
