import type { Action } from './action.ts';
import { anonymous, type Identity } from './identity.ts';
import type { Scope } from './scope.ts';

/** What a request is about, as the client wrote it. */
export type Target = { readonly name: string; readonly action: Action } | 'catalog';

/**
 * Who asks, for one request. A bearer token is good for what was asked for with it; for anything else its holder is as anonymous
 * as everybody without one, and a challenge tells the client to fetch another token.
 */
export function actingOn(identity: Identity, target: Target): Identity {
  if (identity.kind === 'anonymous' || identity.scopes === undefined) return identity;
  return identity.scopes.some((scope) => covers(scope, target)) ? identity : anonymous;
}

function covers(scope: Scope, target: Target): boolean {
  if (target === 'catalog') return scope.type === 'catalog';
  return scope.type === 'repository' && scope.name === target.name && scope.actions.has(target.action);
}
