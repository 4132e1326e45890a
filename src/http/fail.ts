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

/** The only writer of errors: distribution-spec "Error Codes", with the statuses of the README's failure table. */
export function fail(ctx: Context, failure: HttpFailure): void {
  const [status, code] = answers[failure.kind];
  const message = messageFor(failure);
  ctx.state.entry.outcome = failure.kind;
  ctx.state.entry.reason = message;
  if (ctx.res.headersSent) {
    // Too late for words: a cut connection is the only way left to say that the body is not whole.
    ctx.res.destroy();
    return;
  }
  for (const name of aboutContent) ctx.remove(name);
  ctx.status = status;
  ctx.set(headersFor(failure, ctx));
  const detail = failure.kind === 'manifest-blob-unknown' ? failure.missing.map((digest) => ({ digest })) : undefined;
  ctx.body = errorBody(code, message, detail);
  boundUnreadBody(ctx);
}

export function errorBody(code: ErrorCode, message: string, detail?: unknown): { readonly errors: readonly object[] } {
  return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
}

/** One line for each kind of failure, whoever it comes from. */
const answers: Readonly<Record<HttpFailure['kind'], readonly [status: number, code: ErrorCode]>> = {
  'name-invalid': [400, 'NAME_INVALID'],
  'digest-invalid': [400, 'DIGEST_INVALID'],
  'tag-invalid': [400, 'TAG_INVALID'],
  'page-invalid': [400, 'PAGINATION_NUMBER_INVALID'],
  'manifest-invalid': [400, 'MANIFEST_INVALID'],
  'chunk-invalid': [400, 'BLOB_UPLOAD_INVALID'],
  'token-request-invalid': [400, 'UNSUPPORTED'],
  unauthorized: [401, 'UNAUTHORIZED'],
  denied: [403, 'DENIED'],
  'access-denied': [403, 'DENIED'],
  'not-hosted': [403, 'DENIED'],
  'tag-immutable': [403, 'DENIED'],
  'name-unknown': [404, 'NAME_UNKNOWN'],
  'manifest-unknown': [404, 'MANIFEST_UNKNOWN'],
  'blob-unknown': [404, 'BLOB_UNKNOWN'],
  'upload-unknown': [404, 'BLOB_UPLOAD_UNKNOWN'],
  'manifest-blob-unknown': [404, 'MANIFEST_BLOB_UNKNOWN'],
  'route-unknown': [404, 'UNSUPPORTED'],
  'method-not-supported': [405, 'UNSUPPORTED'],
  'manifest-too-large': [413, 'SIZE_INVALID'],
  'range-invalid': [416, 'SIZE_INVALID'],
  'range-not-satisfiable': [416, 'SIZE_INVALID'],
  'chunk-out-of-order': [416, 'BLOB_UPLOAD_INVALID'],
  'rate-limited': [429, 'TOOMANYREQUESTS'],
  bug: [500, 'UNKNOWN'],
  'wrong-answer': [502, 'UNKNOWN'],
  unavailable: [503, 'UNKNOWN'],
  'push-no-room': [507, 'DENIED'],
};

function messageFor(failure: HttpFailure): string {
  switch (failure.kind) {
    case 'range-not-satisfiable':
      return `the range lies outside of the blob's ${failure.size} bytes`;
    case 'chunk-out-of-order':
      return `the next byte of this upload is ${failure.size}: Range says what is here`;
    case 'manifest-blob-unknown':
      return `the manifest needs what was not pushed to this repository: ${failure.missing.slice(0, maxNamed).join(', ')}`;
    default:
      return failure.reason;
  }
}

function headersFor(failure: HttpFailure, ctx: Context): Readonly<Record<string, string>> {
  switch (failure.kind) {
    case 'range-not-satisfiable':
      return { 'Content-Range': `bytes */${failure.size}` };
    case 'method-not-supported':
      return { Allow: failure.allow };
    case 'unauthorized':
      return { 'WWW-Authenticate': challenge(ctx, failure) };
    case 'rate-limited':
    case 'unavailable':
      return { 'Retry-After': String(Math.max(1, Math.ceil(failure.retryAfterSeconds))) };
    default:
      return {};
  }
}
