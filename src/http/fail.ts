import type { ErrorCode } from '../oci/error-code.ts';
import { challenge } from './challenge.ts';
import type { Context } from './context.ts';
import type { HttpFailure } from './failure.ts';
import { boundUnreadBody } from './request-body.ts';

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

/** Digests in a message; `detail` has them all. */
const maxNamed = 3;

interface ErrorAnswer {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** For programs, beside the message. */
  readonly detail?: unknown;
}

/** The only writer of errors: distribution-spec "Error Codes", with the statuses of the README's failure table. */
export function fail(ctx: Context, failure: HttpFailure): void {
  const { status, code, message, headers, detail } = answerFor(failure, ctx);
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
  ctx.body = errorBody(code, message, detail);
  boundUnreadBody(ctx);
}

export function errorBody(code: ErrorCode, message: string, detail?: unknown): { readonly errors: readonly object[] } {
  return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
}

function answerFor(failure: HttpFailure, ctx: Context): ErrorAnswer {
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
      return { status: 405, code: 'UNSUPPORTED', message: failure.reason, headers: { Allow: failure.allow } };
    case 'upload-unknown':
      return { status: 404, code: 'BLOB_UPLOAD_UNKNOWN', message: failure.reason };
    case 'chunk-out-of-order':
      return {
        status: 416,
        code: 'BLOB_UPLOAD_INVALID',
        message: `the next byte of this upload is ${failure.size}: Range says what is here`,
      };
    case 'chunk-invalid':
      return { status: 400, code: 'BLOB_UPLOAD_INVALID', message: failure.reason };
    case 'manifest-invalid':
      return { status: 400, code: 'MANIFEST_INVALID', message: failure.reason };
    case 'manifest-too-large':
      return { status: 413, code: 'SIZE_INVALID', message: failure.reason };
    case 'manifest-blob-unknown':
      return {
        status: 404,
        code: 'MANIFEST_BLOB_UNKNOWN',
        message: `the manifest needs what was not pushed to this repository: ${failure.missing.slice(0, maxNamed).join(', ')}`,
        detail: failure.missing.map((digest) => ({ digest })),
      };
    case 'token-request-invalid':
      return { status: 400, code: 'UNSUPPORTED', message: failure.reason };
    case 'unauthorized':
      return {
        status: 401,
        code: 'UNAUTHORIZED',
        message: failure.reason,
        headers: { 'WWW-Authenticate': challenge(ctx, failure) },
      };
    case 'push-no-room':
      return { status: 507, code: 'DENIED', message: failure.reason };
    case 'denied':
    case 'access-denied':
    case 'not-hosted':
    case 'tag-immutable':
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
