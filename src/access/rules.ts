import { type AddressRange, parseAddressRange, plainAddress } from '../oci/address-range.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import type { RepositoryPattern } from '../oci/repository-pattern.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Action } from './action.ts';
import { anonymous, type Identity } from './identity.ts';
import { parseUserName } from './user-name.ts';

/** Whom an entry of a rule means. Only {@link parsePrincipal} makes one. */
export type Principal =
  /** Users included. */
  | { readonly kind: 'everyone'; readonly text: string }
  | { readonly kind: 'network'; readonly text: string; readonly network: AddressRange }
  | { readonly kind: 'user'; readonly text: string };

export interface Rule {
  /** Of canonical names, or of names within the default registry. */
  readonly repositories: readonly RepositoryPattern[];
  /** Undefined: as without a rule. */
  readonly pull?: readonly Principal[] | undefined;
  /** Undefined: nobody. */
  readonly push?: readonly Principal[] | undefined;
  /** Undefined: whoever may push. */
  readonly delete?: readonly Principal[] | undefined;
}

export interface Policy {
  readonly anonymous: { readonly pull: boolean; readonly push: boolean };
  readonly rules: readonly Rule[];
  /** Whose repositories rules may name without it; null for none. */
  readonly defaultRegistry: string | null;
}

/** `"anonymous"`, `"net:10.0.0.0/8"` or a user name. */
export function parsePrincipal(text: string): Result<Principal, { readonly reason: string }> {
  if (text === 'anonymous') return ok({ kind: 'everyone', text });
  if (text.startsWith('net:')) {
    const network = parseAddressRange(text.slice('net:'.length));
    return network.ok ? ok({ kind: 'network', text, network: network.value }) : network;
  }
  const name = parseUserName(text);
  return name.ok ? ok({ kind: 'user', text: name.value }) : fail(name.failure);
}

/**
 * Whether this client may do that. The first rule that matches decides, and only it. A machine token takes away from its user's
 * rights, but not what anybody may do.
 *
 * @param address of the client, as its socket has it
 */
export function may(
  policy: Policy,
  { identity, address }: { readonly identity: Identity; readonly address: string },
  action: Action,
  repository: Repository,
): boolean {
  const names = namesOf(repository, policy.defaultRegistry);
  const acting = isBeyondMachineToken(identity, action, names) ? anonymous : identity;
  const rule = policy.rules.find(({ repositories }) => matchesAny(repositories, names));
  const list = rule === undefined ? undefined : listFor(rule, action);
  if (list !== undefined) return list.some((principal) => means(principal, acting, address));
  return acting.kind === 'user' || (action === 'pull' ? policy.anonymous.pull : policy.anonymous.push);
}

/** Whether the client has in this repository what everybody may have: nobody knows him, or his machine token does not reach it. */
export function isAnonymous(policy: Policy, identity: Identity, action: Action, repository: Repository): boolean {
  if (identity.kind === 'anonymous') return true;
  return isBeyondMachineToken(identity, action, namesOf(repository, policy.defaultRegistry));
}

/** Undefined: as without a rule. */
function listFor(rule: Rule, action: Action): readonly Principal[] | undefined {
  switch (action) {
    case 'pull':
      return rule.pull;
    case 'push':
      return rule.push ?? [];
    case 'delete':
      return rule.delete ?? rule.push ?? [];
  }
}

function means(principal: Principal, identity: Identity, address: string): boolean {
  switch (principal.kind) {
    case 'everyone':
      return true;
    case 'network':
      return principal.network.contains(plainAddress(address) ?? '');
    case 'user':
      return identity.kind === 'user' && identity.name === principal.text;
  }
}

function isBeyondMachineToken(identity: Identity, action: Action, names: readonly string[]): boolean {
  if (identity.kind === 'anonymous' || identity.machine === undefined) return false;
  const { actions, repositories } = identity.machine;
  return !actions.has(action) || (repositories !== undefined && !matchesAny(repositories, names));
}

function matchesAny(patterns: readonly RepositoryPattern[], names: readonly string[]): boolean {
  return patterns.some((pattern) => names.some((name) => pattern.matches(name)));
}

/** What is hosted here has no registry in its canonical name. */
function namesOf(repository: Repository, defaultRegistry: string | null): readonly string[] {
  if (repository.registry === '') return [repository.name];
  const canonical = repositoryText(repository);
  return repository.registry === defaultRegistry ? [canonical, repository.name] : [canonical];
}
