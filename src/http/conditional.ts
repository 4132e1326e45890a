import type { Context } from './context.ts';

/**
 * Answers 304 where the client has the content already (RFC 9110 13.1.2). Not Koa's `fresh`: that gives up when the client also
 * sends `Cache-Control: no-cache`, as `fetch` does with every conditional request.
 */
export function notModified(ctx: Context, etag: string): boolean {
  const candidates = ctx.get('If-None-Match').split(',');
  if (!candidates.some((candidate) => candidate.trim() === '*' || candidate.trim().replace(/^W\//, '') === etag))
    return false;
  ctx.status = 304;
  return true;
}
