import type { Failure } from '../mirror/failure.ts';
import type { BadRoute } from '../mirror/route.ts';
import type { ErrorCode } from '../oci/error-code.ts';
import type { Context } from './context.ts';

/** What is wrong with a request before anything is asked of the mirror. */
export type BadRequest =
  | BadRoute
  | { readonly kind: 'digest-invalid'; readonly reason: string }
  | { readonly kind: 'tag-invalid'; readonly reason: string }
  | { readonly kind: 'page-invalid'; readonly reason: string }
  | { readonly kind: 'range-invalid'; readonly reason: string }
  | { readonly kind: 'method-not-supported'; readonly reason: string }
  | { readonly kind: 'route-unknown'; readonly reason: string }
  | { readonly kind: 'pull-denied'; readonly reason: string }
  | { readonly kind: 'bug'; readonly reason: string };

export type HttpFailure = Failure | BadRequest;

/** What may have been said already of content that is not served after all. */
const aboutContent = [
  'Accept-Ranges',
  'Age',
  'Cache-Status',
  'Content-Range',
  'Docker-Content-Digest',
  'ETag',
  'Warning',
];

interface ErrorAnswer {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The only writer of errors: distribution-spec "Error Codes", with the statuses of the README's failure table. */
export function fail(ctx: Context, failure: HttpFailure): void {
  const { status, code, message, headers } = answerFor(failure);
  ctx.state.entry.outcome = failure.kind;
  ctx.state.entry.reason = message;
  if (ctx.res.headersSent) {
    // Too late for words: a cut connection is the only way left to say that the body is not whole.
    ctx.res.destroy();
    return;
  }
  for (const name of aboutContent) ctx.remove(name);
  ctx.status = status;
  if (headers !== undefined) ctx.set(headers);
  ctx.body = errorBody(code, message);
}

export function errorBody(code: ErrorCode, message: string): { readonly errors: readonly object[] } {
  return { errors: [{ code, message }] };
}

function answerFor(failure: HttpFailure): ErrorAnswer {
  switch (failure.kind) {
    case 'name-invalid':
      return { status: 400, code: 'NAME_INVALID', message: failure.reason };
    case 'digest-invalid':
      return { status: 400, code: 'DIGEST_INVALID', message: failure.reason };
    case 'tag-invalid':
      return { status: 400, code: 'TAG_INVALID', message: failure.reason };
    case 'page-invalid':
      return { status: 400, code: 'PAGINATION_NUMBER_INVALID', message: failure.reason };
    case 'range-invalid':
      return { status: 416, code: 'SIZE_INVALID', message: failure.reason };
    case 'range-not-satisfiable':
      return {
        status: 416,
        code: 'SIZE_INVALID',
        message: `the range lies outside of the blob's ${failure.size} bytes`,
        headers: { 'Content-Range': `bytes */${failure.size}` },
      };
    case 'name-unknown':
      return { status: 404, code: 'NAME_UNKNOWN', message: failure.reason };
    case 'manifest-unknown':
      return { status: 404, code: 'MANIFEST_UNKNOWN', message: failure.reason };
    case 'blob-unknown':
      return { status: 404, code: 'BLOB_UNKNOWN', message: failure.reason };
    case 'route-unknown':
      return { status: 404, code: 'UNSUPPORTED', message: failure.reason };
    case 'method-not-supported':
      return { status: 405, code: 'UNSUPPORTED', message: failure.reason, headers: { Allow: 'GET, HEAD' } };
    case 'denied':
    case 'pull-denied':
      return { status: 403, code: 'DENIED', message: failure.reason };
    case 'rate-limited':
      return {
        status: 429,
        code: 'TOOMANYREQUESTS',
        message: failure.reason,
        headers: retryAfter(failure.retryAfterSeconds),
      };
    case 'unavailable':
      return { status: 503, code: 'UNKNOWN', message: failure.reason, headers: retryAfter(failure.retryAfterSeconds) };
    case 'wrong-answer':
      return { status: 502, code: 'UNKNOWN', message: failure.reason };
    case 'bug':
      return { status: 500, code: 'UNKNOWN', message: failure.reason };
  }
}

function retryAfter(seconds: number): Readonly<Record<string, string>> {
  return { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) };
}
