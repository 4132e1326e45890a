import { tokenService } from '../access/bearer.ts';
import type { Context } from './context.ts';

/**
 * `WWW-Authenticate` (Docker's token specification): where to get a token, and for what. Bearer and nothing else, although Basic is
 * taken too: an engine that finds Basic never asks for the anonymous token that lets it pull without a login.
 */
export function challenge(
  ctx: Context,
  { scope, error }: { readonly scope?: string; readonly error?: 'invalid_token' },
): string {
  const parts = [
    ['realm', `${ctx.state.publicUrl}/token`],
    ['service', tokenService],
    ...(scope === undefined ? [] : [['scope', scope]]),
    ...(error === undefined ? [] : [['error', error]]),
  ];
  return `Bearer ${parts.map(([name, value]) => `${name}="${value}"`).join(',')}`;
}
