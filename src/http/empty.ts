import type { Context } from './context.ts';

/** An answer that has no body. Koa would put the status in words into it. */
export function empty(ctx: Context, status: number): void {
  ctx.status = status;
  ctx.body = '';
  ctx.remove('Content-Type');
}
