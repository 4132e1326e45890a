import type Koa from 'koa';
import type { AccessControl, IdentifyFailure } from '../access/access-control.ts';
import type { Identity } from '../access/identity.ts';
import { ok, type Result } from '../oci/result.ts';
import { clientCertificateName } from './client-certificate.ts';
import type { State } from './context.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import { Visitor } from './visitor.ts';

/** Finds out who asks, before anything else is done for him: by what he sends, or by the certificate of his connection. */
export function identify(access: AccessControl): Koa.Middleware<State> {
  return async (ctx, next) => {
    const { authorization } = ctx.headers;
    // The token endpoint has its own view of credentials: those of other registries are no mistake there.
    if (ctx.path === '/token') {
      await next();
      return;
    }
    const { address } = ctx.state.client;
    const certified = authorization === undefined ? clientCertificateName(ctx.req.socket) : undefined;
    const identified: Result<Identity, IdentifyFailure> =
      certified === undefined ? await access.identify(authorization, address) : ok({ kind: 'user', name: certified });
    if (!identified.ok) return fail(ctx, refusalOf(identified.failure));
    ctx.state.visitor = new Visitor(access, { identity: identified.value, address });
    if (ctx.state.visitor.user !== undefined) ctx.state.entry.user = ctx.state.visitor.user;
    await next();
  };
}

export function refusalOf(failure: IdentifyFailure): BadRequest {
  switch (failure.kind) {
    case 'bad-credentials':
      return { kind: 'unauthorized', reason: 'the user name or the password is wrong' };
    case 'bad-token':
    case 'token-expired':
      return {
        kind: 'unauthorized',
        reason: failure.kind === 'bad-token' ? 'the token is not valid here' : 'the token has expired',
        error: 'invalid_token',
      };
    case 'too-many-attempts':
      return {
        kind: 'rate-limited',
        reason: 'too many wrong passwords for this user from this address',
        retryAfterSeconds: failure.retryAfterSeconds,
      };
    case 'busy':
      return {
        // Never a 5xx: an engine takes that for the end.
        kind: 'rate-limited',
        reason: 'too many passwords are being checked at this moment',
        retryAfterSeconds: failure.retryAfterSeconds,
      };
  }
}

/** `GET /v2/`: the one place where an engine learns that, and how, it can log in (recorded with Docker 20.10). */
export function ping(access: AccessControl) {
  return (ctx: Parameters<Koa.Middleware<State>>[0]): void => {
    const isKnown = Boolean(ctx.headers.authorization?.trim()) || ctx.state.visitor?.user !== undefined;
    if (access.hasUsers && !isKnown)
      return fail(ctx, { kind: 'unauthorized', reason: 'log in, or ask for an anonymous token' });
    ctx.body = {};
  };
}
