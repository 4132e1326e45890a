/** Why an upstream gave nothing. Adapters speak of outcomes only: which HTTP status a client gets is chosen in http/fail.ts. */
export type UpstreamFailure =
  /** The registry answered that it does not have it. */
  | { readonly kind: 'not-found'; readonly reason: string }
  /** The registry refused a freshly issued token, or our request without any. */
  | { readonly kind: 'denied'; readonly reason: string }
  /** The quota is spent, and asking again before the time given would only make it worse. */
  | { readonly kind: 'rate-limited'; readonly reason: string; readonly retryAfterSeconds: number }
  /** It cannot be asked: connection, time-out, 5xx, or a token endpoint that fails or refuses our own account. */
  | {
      readonly kind: 'unavailable';
      readonly reason: string;
      readonly retryAfterSeconds: number;
      readonly status?: number;
    }
  /** It answered, and the answer is wrong: bytes that do not match their digest, a redirect loop, a manifest over the limit. */
  | { readonly kind: 'wrong-answer'; readonly reason: string };

/** Everything that can keep a pull from being served. */
export type Failure =
  | { readonly kind: 'name-unknown'; readonly reason: string }
  | { readonly kind: 'manifest-unknown'; readonly reason: string }
  | { readonly kind: 'blob-unknown'; readonly reason: string }
  | { readonly kind: 'range-not-satisfiable'; readonly size: number }
  | Exclude<UpstreamFailure, { kind: 'not-found' }>;

/** True where a cached copy may stand in: the upstream gave no verdict on what was asked. */
export function cannotBeAsked(failure: UpstreamFailure): boolean {
  switch (failure.kind) {
    case 'rate-limited':
    case 'unavailable':
    case 'wrong-answer':
      return true;
    case 'not-found':
    case 'denied':
      return false;
  }
}
