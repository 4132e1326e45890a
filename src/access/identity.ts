import type { RepositoryPattern } from '../oci/repository-pattern.ts';
import type { Action } from './action.ts';
import type { Scope } from './scope.ts';

/** Who asks. */
export type Identity = { readonly kind: 'anonymous' } | User;

interface User {
  readonly kind: 'user';
  readonly name: string;
  /** What was asked for with the bearer token that he came with, in the names that clients write. */
  readonly scopes?: readonly Scope[];
  /** What the machine token may do that he came with. */
  readonly machine?: MachineLimits;
}

export interface MachineLimits {
  /** Of canonical names; undefined for all. */
  readonly repositories: readonly RepositoryPattern[] | undefined;
  readonly actions: ReadonlySet<Action>;
}

export const anonymous: Identity = { kind: 'anonymous' };
