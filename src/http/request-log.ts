import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { Asker } from '../mirror/asker.ts';
import type { Logger } from '../ops/logger.ts';
import type { LogEntry, State } from './context.ts';

/** One line per request, when it has ended; the request's id is in the answer too. */
export function logRequests(log: Logger): Middleware<State> {
  return async (ctx, next) => {
    const start = performance.now();
    const requestId = randomUUID();
    const entry: LogEntry = {};
    // A closed connection does not tell any more where it came from.
    const client = ctx.ip;
    const asker = new Asker({ isAnonymous: true });
    ctx.state = { entry, asker };
    ctx.set('X-Request-Id', requestId);
    ctx.res.once('close', () => {
      const line = {
        requestId,
        client,
        method: ctx.method,
        path: ctx.path.slice(0, maxLoggedPath),
        ...(ctx.res.headersSent ? { status: ctx.res.statusCode } : {}),
        ...entry,
        bytes: ctx.method === 'HEAD' ? 0 : (entry.bytes ?? ctx.response.length) || 0,
        milliseconds: Math.round(performance.now() - start),
        upstreamMilliseconds: asker.upstreamMs,
        ...(ctx.res.writableFinished
          ? {}
          : { cut: true, outcome: entry.reason === undefined ? 'client-left' : entry.outcome }),
      };
      log[ctx.res.statusCode >= 500 ? 'warn' : 'info'](line, 'request');
    });
    await next();
  };
}

const maxLoggedPath = 400;
