import type { PushFailure } from '../hosted/failure.ts';
import type { Failure } from '../mirror/failure.ts';
import type { BadRoute } from '../mirror/route.ts';

/** What is wrong with a request before anything is asked of the mirror. */
export type BadRequest =
  | BadRoute
  | { readonly kind: 'digest-invalid'; readonly reason: string }
  | { readonly kind: 'tag-invalid'; readonly reason: string }
  | { readonly kind: 'page-invalid'; readonly reason: string }
  | { readonly kind: 'range-invalid'; readonly reason: string }
  | { readonly kind: 'method-not-supported'; readonly reason: string; readonly allow: string }
  | { readonly kind: 'route-unknown'; readonly reason: string }
  /** Nobody is logged in, or not with a password that is right. */
  | {
      readonly kind: 'unauthorized';
      readonly reason: string;
      readonly scope?: string;
      readonly error?: 'invalid_token';
    }
  | { readonly kind: 'token-request-invalid'; readonly reason: string }
  | { readonly kind: 'access-denied'; readonly reason: string }
  | { readonly kind: 'not-hosted'; readonly reason: string }
  | { readonly kind: 'chunk-invalid'; readonly reason: string }
  | Extract<Failure, { readonly kind: 'rate-limited' | 'unavailable' }>
  | { readonly kind: 'bug'; readonly reason: string };

export type HttpFailure = Failure | PushFailure | BadRequest;
