import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { Asker, noRights } from '../mirror/asker.ts';
import type { AddressRange } from '../oci/address-range.ts';
import type { Logger } from '../ops/logger.ts';
import { clientOf, publicUrlOf } from './client.ts';
import type { LogEntry, State } from './context.ts';

/** How clients get here: the settings of the same names below `listen`. */
export interface Reach {
  readonly trustedProxies: readonly AddressRange[];
  readonly publicUrl?: string | undefined;
}

/**
 * One line per request, when it has ended; the request's id is in the answer too.
 *
 * @param reach the settings in force
 */
export function logRequests(log: Logger, reach: () => Reach): Middleware<State> {
  return async (ctx, next) => {
    const start = performance.now();
    const requestId = randomUUID();
    const entry: LogEntry = {};
    // A closed connection does not tell any more where it came from.
    const { trustedProxies, publicUrl } = reach();
    const client = clientOf(ctx.req, trustedProxies);
    const asker = new Asker(noRights);
    ctx.state = { entry, asker, client, publicUrl: publicUrlOf(client, publicUrl), visitor: undefined };
    ctx.set('X-Request-Id', requestId);
    ctx.res.once('close', () => {
      const line = {
        requestId,
        client: client.address,
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
