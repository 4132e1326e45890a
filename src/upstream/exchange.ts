import type { UpstreamFailure } from '../mirror/failure.ts';
import type { RepositoryName } from '../oci/repository-name.ts';
import type { Result } from '../oci/result.ts';
import type { Body } from './body.ts';
import type { Bound } from './bound.ts';

export type ExchangeKind = 'manifest' | 'blob' | 'tags' | 'token' | 'search';

/** Only what may safely be repeated is ever sent. */
export interface Request {
  readonly kind: ExchangeKind;
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly bound: Bound;
}

export interface RegistryRequest extends Request {
  readonly name: RepositoryName;
  readonly anonymously: boolean;
}

/** Whoever takes an answer and does not pass it on discards or reads its body. */
export interface Answer {
  readonly status: number;
  /** The first value of a header, by its lower-case name. */
  header(name: string): string | undefined;
  /** All values of a header that may come several times. */
  headers(name: string): readonly string[];
  readonly body: Body;
  readonly withCredentials: boolean;
}

/** No answer came. Turned into a failure where the health of the asked is kept. */
export interface NoAnswer {
  readonly kind: 'no-answer';
  /**
   * `connection`: none was made, or it broke. `silence`: none came though there was time. `out-of-time`: the ask's time ran
   * out soon after others had spent it. `abandoned`: whoever asked has left.
   */
  readonly cause: 'connection' | 'silence' | 'out-of-time' | 'abandoned';
  /** Such as `ECONNREFUSED`. */
  readonly code: string;
  readonly reason: string;
  /** It was the target of a redirect that was asked, not the one who redirected. */
  readonly elsewhere: boolean;
}

export type Trouble = UpstreamFailure | NoAnswer;

/** One link of the chain: asks the next one, or answers itself. */
export type Exchange<R extends Request = Request> = (request: R) => Promise<Result<Answer, Trouble>>;

/** What may be logged of a URL: never its query, which may be a signature. */
export function urlText(url: URL): string {
  return `${url.origin}${url.pathname.replace(/\/$/, '')}`;
}
