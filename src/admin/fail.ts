import type { ParameterizedContext } from 'koa';

export interface AdminFailure {
  readonly kind: 'malformed' | 'too-large' | 'refused' | 'route-unknown' | 'stopping' | 'bug';
  /** One sentence, for the operator. */
  readonly reason: string;
}

const statuses: Readonly<Record<AdminFailure['kind'], number>> = {
  malformed: 400,
  refused: 400,
  'route-unknown': 404,
  'too-large': 413,
  bug: 500,
  stopping: 503,
};

/** The only writer of errors on the admin socket. */
export function fail(ctx: ParameterizedContext, { kind, reason }: AdminFailure): void {
  if (ctx.res.headersSent) {
    // Too late for words: a cut connection is the only way left to say that the answer is not whole.
    ctx.res.destroy();
    return;
  }
  // Lines are written past Koa, errors are not.
  ctx.respond = true;
  ctx.status = statuses[kind];
  ctx.body = { error: reason };
}
