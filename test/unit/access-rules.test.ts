import { describe, expect, test } from 'vitest';
import { actingOn } from '../../src/access/acting-on.ts';
import { type Action, everyAction } from '../../src/access/action.ts';
import { anonymous, type Identity, type MachineLimits } from '../../src/access/identity.ts';
import { clientOf } from '../../src/access/network.ts';
import { may, type Policy, parsePrincipal } from '../../src/access/rules.ts';
import { parseScopes } from '../../src/access/scope.ts';
import { parseUserName } from '../../src/access/user-name.ts';
import { parseAddressRange } from '../../src/oci/address-range.ts';
import { parseRepositoryName, type Repository } from '../../src/oci/repository-name.ts';
import { parseCanonicalPattern } from '../../src/oci/repository-pattern.ts';
import type { Result } from '../../src/oci/result.ts';

function good<T>(result: Result<T, unknown>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.failure));
  return result.value;
}

interface RuleText {
  readonly repositories: readonly string[];
  readonly pull?: readonly string[];
  readonly push?: readonly string[];
  readonly delete?: readonly string[];
}

function policy(rules: readonly RuleText[], allowed: Partial<Policy['anonymous']> = {}): Policy {
  const principals = (texts: readonly string[] | undefined) => texts?.map((text) => good(parsePrincipal(text)));
  return {
    anonymous: { pull: true, push: false, ...allowed },
    rules: rules.map((rule) => ({
      repositories: rule.repositories.map((text) => good(parseCanonicalPattern(text))),
      pull: principals(rule.pull),
      push: principals(rule.push),
      delete: principals(rule.delete),
    })),
    defaultRegistry: 'docker.io',
  };
}

/** `|` divides the registry from the name; what is hosted here has none. */
function repository(text: string): Repository {
  const [registry = '', name = ''] = text.includes('|') ? text.split('|') : ['', text];
  return { registry, name: good(parseRepositoryName(name)) };
}

const bob: Identity = { kind: 'user', name: 'bob' };
const alice: Identity = { kind: 'user', name: 'alice' };

/** What the client may do, by first letters: `pull push delete`. */
function rights(rules: Policy, identity: Identity, name: string, address = '192.0.2.1'): string {
  const allowed = everyAction.filter((action) => may(rules, { identity, address }, action, repository(name)));
  return allowed.join(' ') || 'nothing';
}

describe('without a rule that matches', () => {
  test.each([
    [{}, 'pull'],
    [{ pull: false }, 'nothing'],
    [{ push: true }, 'pull push delete'],
    [{ pull: false, push: true }, 'push delete'],
  ])('anonymous may do what access.anonymous says: %j', (allowed, expected) => {
    expect(rights(policy([], allowed), anonymous, 'test')).toBe(expected);
  });

  test('users may pull, push and delete, whatever anonymous may', () => {
    expect(rights(policy([], { pull: false }), bob, 'test')).toBe('pull push delete');
    expect(rights(policy([{ repositories: ['other'], push: [] }]), bob, 'test')).toBe('pull push delete');
  });
});

describe('the rule that matches', () => {
  test.each<[RuleText, Identity, string]>([
    [{ repositories: ['**'], pull: ['bob'], push: ['alice'] }, bob, 'pull'],
    [{ repositories: ['**'], pull: ['bob'], push: ['alice'] }, alice, 'push delete'],
    [{ repositories: ['**'], pull: ['bob'], push: ['alice'] }, anonymous, 'nothing'],
    // "anonymous" in a list means everyone.
    [{ repositories: ['**'], pull: ['anonymous'], push: ['alice'] }, bob, 'pull'],
    [{ repositories: ['**'], pull: ['anonymous'], push: ['anonymous'] }, anonymous, 'pull push delete'],
    // Who may push may delete, unless the rule has `delete`.
    [{ repositories: ['**'], push: ['bob'] }, bob, 'pull push delete'],
    [{ repositories: ['**'], push: ['bob'], delete: [] }, bob, 'pull push'],
    [{ repositories: ['**'], push: ['bob'], delete: ['alice'] }, alice, 'pull delete'],
    // Without a list: pulling as without the rule, pushing nobody.
    [{ repositories: ['**'] }, bob, 'pull'],
    [{ repositories: ['**'] }, anonymous, 'pull'],
    [{ repositories: ['**'], pull: [] }, bob, 'nothing'],
  ])('%j', (rule, identity, expected) => {
    expect(rights(policy([rule]), identity, 'test')).toBe(expected);
  });

  test('is the first, even where a later one would allow it', () => {
    const rules = policy([
      { repositories: ['team/secret'], pull: ['alice'] },
      { repositories: ['team/**'], pull: ['anonymous'], push: ['bob'] },
    ]);
    expect(rights(rules, bob, 'team/secret')).toBe('nothing');
    expect(rights(rules, bob, 'team/app')).toBe('pull push delete');
    expect(rights(rules, anonymous, 'team/app')).toBe('pull');
  });

  test.each([
    ['docker.io/library/**', 'docker.io|library/alpine', true],
    ['library/**', 'docker.io|library/alpine', true],
    ['library/**', 'ghcr.io|library/alpine', false],
    ['ghcr.io/owner/**', 'ghcr.io|owner/app', true],
    ['ghcr.io/owner/**', 'ghcr.io|owner', false],
    ['**', 'ghcr.io|owner/app', true],
    ['*/owner/*', 'ghcr.io|owner/app', true],
    ['registry.lan:5000/team/**', 'registry.lan:5000|team/app', true],
    ['registry.lan:5000/team/**', 'registry.lan:5001|team/app', false],
    ['local/**', 'local/a/b', true],
    ['local/**', 'local', false],
    // A hosted repository is not Docker Hub's, and a short name is no official image.
    ['docker.io/**', 'local/a', false],
    ['*', 'docker.io|library/alpine', false],
    ['*', 'test', true],
  ])('%s on %s: %s', (pattern, name, matches) => {
    const rules = policy([{ repositories: [pattern], pull: [] }]);
    expect(may(rules, { identity: bob, address: '' }, 'pull', repository(name))).toBe(!matches);
  });
});

describe('a client network', () => {
  test.each([
    ['net:10.0.0.0/8', '10.1.2.3', true],
    ['net:10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['net:10.0.0.0/8', '0:0:0:0:0:ffff:10.1.2.3', true],
    ['net:::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['net:10.0.0.0/8', '11.0.0.1', false],
    ['net:10.0.0.7', '10.0.0.7', true],
    ['net:10.0.0.7', '10.0.0.8', false],
    ['net:fd00::/8', 'fd12::1', true],
    ['net:fe80::/10', 'fe80::1%eth0', true],
    ['net:fd00::/8', '2001:db8::1', false],
    ['net:0.0.0.0/0', '::1', false],
    ['net:0.0.0.0/0', '', false],
    ['net:0.0.0.0/0', 'not an address', false],
  ])('%s has %s: %s', (network, address, expected) => {
    const rules = policy([{ repositories: ['**'], pull: [network] }]);
    expect(rights(rules, anonymous, 'test', address)).toBe(expected ? 'pull' : 'nothing');
    expect(rights(rules, bob, 'test', address)).toBe(expected ? 'pull' : 'nothing');
  });

  test.each(['', '10.0.0.0/33', '10.0.0.0/', '10.0.0/8', 'lan', '::/129', '::ffff:10.0.0.0/8', '10.0.0.0/8/8'])(
    '%j is none',
    (text) => {
      expect(parseAddressRange(text).ok).toBe(false);
    },
  );

  test('whoever has a whole IPv6 network is one client', () => {
    expect(clientOf('2001:db8::1')).toBe(clientOf('2001:DB8:0:0:ffff::9'));
    expect(clientOf('2001:db8:0:1::1')).not.toBe(clientOf('2001:db8::1'));
    expect(clientOf('::1')).toBe('0:0:0:0::/64');
    expect(clientOf('::ffff:10.0.0.7')).toBe('10.0.0.7');
  });
});

describe('a token takes away, and never gives', () => {
  const limited = (patterns: readonly string[] | undefined, actions: readonly Action[]): MachineLimits => ({
    repositories: patterns?.map((text) => good(parseCanonicalPattern(text))),
    actions: new Set(actions),
  });
  const machine = (limits: MachineLimits): Identity => ({ kind: 'user', name: 'bob', machine: limits });
  const closed = policy([{ repositories: ['secret/**'], pull: ['alice'] }], { pull: false });

  test('a machine token is good for its repositories and actions', () => {
    const ci = machine(limited(['team/**'], ['pull', 'push']));
    expect(rights(closed, ci, 'team/app')).toBe('pull push');
    expect(rights(closed, ci, 'other/app')).toBe('nothing');
    expect(rights(closed, machine(limited(undefined, ['pull'])), 'any/app')).toBe('pull');
  });

  test('a machine token gives nothing that its user has not', () => {
    expect(rights(closed, machine(limited(['**'], everyAction)), 'secret/app')).toBe('nothing');
  });

  test('with a machine token one may still do what anybody may', () => {
    expect(rights(policy([]), machine(limited(['team/**'], ['push'])), 'docker.io|library/alpine')).toBe('pull');
  });

  test('a bearer token is good for the names and actions that were asked for, as clients write them', () => {
    const scopes = good(parseScopes(['repository:docker.io/team/app:pull,push registry:catalog:*']));
    const holder: Identity = { kind: 'user', name: 'bob', scopes };
    expect(actingOn(holder, { name: 'docker.io/team/app', action: 'push' })).toBe(holder);
    expect(actingOn(holder, { name: 'docker.io/team/app', action: 'delete' })).toBe(anonymous);
    expect(actingOn(holder, { name: 'team/app', action: 'push' })).toBe(anonymous);
    expect(actingOn(holder, 'catalog')).toBe(holder);
    expect(actingOn({ ...holder, scopes: [] }, 'catalog')).toBe(anonymous);
    expect(actingOn(bob, { name: 'team/app', action: 'push' })).toBe(bob);
  });
});

test.each(['', 'anonymous', 'net:10.0.0.0/8', 'net:', 'a:b', '#bob', ' bob', 'bob\n', 'b\u0000b', 'b'.repeat(256)])(
  '%j cannot be a user',
  (name) => {
    expect(parseUserName(name).ok).toBe(false);
  },
);
