import type { AccessControl, TokenFailure } from '../access/access-control.ts';
import type { Context } from './context.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import { refusalOf } from './identify.ts';
import { wholeBody } from './request-body.ts';

/** Of a form that is posted: names and passwords have no need of more. */
const maxFormBytes = 64 * 1024;

/** `GET` and `POST /token`: Docker's token specification, and OAuth2's password grant. */
export function issueToken(access: AccessControl) {
  return async (ctx: Context): Promise<void> => {
    const body = ctx.method === 'POST' ? await wholeBody(ctx, maxFormBytes) : Buffer.alloc(0);
    if (body === undefined) return fail(ctx, { kind: 'token-request-invalid', reason: 'the form is too long' });
    const issued = await access.issueToken({
      method: ctx.method === 'POST' ? 'POST' : 'GET',
      parameters: new URLSearchParams(ctx.method === 'POST' ? body.toString('utf8') : ctx.querystring),
      authorization: ctx.headers.authorization,
      address: ctx.state.client.address,
    });
    ctx.set('Cache-Control', 'no-store');
    if (!issued.ok) {
      return fail(ctx, answerTo(issued.failure));
    }
    const { token, expiresInSeconds, issuedAt, user } = issued.value;
    if (user !== undefined) ctx.state.entry.user = user;
    ctx.state.entry.outcome = 'token';
    ctx.body = {
      token,
      access_token: token,
      expires_in: expiresInSeconds,
      issued_at: new Date(issuedAt).toISOString(),
    };
  };
}

/** containerd gives up at a 5xx to its POST, and waits at a 429. */
function answerTo(failure: TokenFailure): BadRequest {
  if (failure.kind === 'bad-request') return { kind: 'token-request-invalid', reason: failure.reason };
  const refusal = refusalOf(failure);
  return refusal.kind === 'unavailable' ? { ...refusal, kind: 'rate-limited' } : refusal;
}
