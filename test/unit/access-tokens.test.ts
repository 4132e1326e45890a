import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import type { AccessControl } from '../../src/access/access-control.ts';
import { accountFiles } from '../../src/access/accounts.ts';
import type { Action } from '../../src/access/action.ts';
import { tokenService } from '../../src/access/bearer.ts';
import { EditAccounts } from '../../src/access/edit-accounts.ts';
import type { Identity } from '../../src/access/identity.ts';
import { limits } from '../../src/access/limits.ts';
import { type TokenWish } from '../../src/access/machine-tokens.ts';
import { parseUserName } from '../../src/access/user-name.ts';
import { AccessSite, basic, lan } from '../support/access-site.ts';

const pull = 'repository:library/alpine:pull';
const push = 'repository:team/app:pull,push';

function get(access: AccessControl, scopes: readonly string[], authorization?: string) {
  const parameters = new URLSearchParams(scopes.map((scope): [string, string] => ['scope', scope]));
  return access.issueToken({ method: 'GET', parameters, authorization, address: lan });
}

function post(access: AccessControl, form: Readonly<Record<string, string>>) {
  return access.issueToken({
    method: 'POST',
    parameters: new URLSearchParams(form),
    authorization: undefined,
    address: lan,
  });
}

/** Whom the token makes of its holder, or why it is worthless. */
async function holderOf(access: AccessControl, token: string): Promise<Identity | string> {
  const identity = await access.identify(`Bearer ${token}`, lan);
  return identity.ok ? identity.value : identity.failure.kind;
}

async function tokenFor(access: AccessControl, scopes: readonly string[], authorization?: string): Promise<string> {
  const issued = await get(access, scopes, authorization);
  if (!issued.ok) throw new Error(issued.failure.kind);
  return issued.value.token;
}

/** In one word: for whom a token was issued, or why none was. */
async function outcome(access: AccessControl, issuing: ReturnType<typeof get>): Promise<string> {
  const issued = await issuing;
  if (!issued.ok) return issued.failure.kind;
  const holder = await holderOf(access, issued.value.token);
  return typeof holder === 'string' ? holder : holder.kind;
}

describe('the token endpoint', () => {
  test.each([
    // Right credentials always get a token of their user.
    [[], basic('bob', 'right'), 'user'],
    [[pull], basic('bob', 'right'), 'user'],
    [[push], basic('bob', 'right'), 'user'],
    // Unknown ones are anonymous where nothing but pulling is asked for: an engine presents what it has for Docker Hub.
    [[pull], basic('hubuser', 'hub password'), 'anonymous'],
    [[pull], basic('bob', 'password at the hub'), 'anonymous'],
    [[pull, 'repository:library/nginx:pull'], basic('hubuser', 'x'), 'anonymous'],
    [[`${pull} repository:library/nginx:pull`], basic('hubuser', 'x'), 'anonymous'],
    [[pull], 'Negotiate abcdef', 'anonymous'],
    // And are refused where not: this is a push, or `docker login`.
    [[], basic('bob', 'wrong'), 'bad-credentials'],
    [[], basic('hubuser', 'x'), 'bad-credentials'],
    [[], 'Negotiate abcdef', 'bad-credentials'],
    [['nonsense'], basic('bob', 'wrong'), 'bad-credentials'],
    [[push], basic('bob', 'wrong'), 'bad-credentials'],
    [[pull, push], basic('bob', 'wrong'), 'bad-credentials'],
    [[`${pull} ${push}`], basic('bob', 'wrong'), 'bad-credentials'],
    [['repository:library/alpine:*'], basic('bob', 'wrong'), 'bad-credentials'],
    [['repository:library/alpine:pull,sing'], basic('bob', 'wrong'), 'bad-credentials'],
    [['registry:catalog:*'], basic('bob', 'wrong'), 'bad-credentials'],
    // Without credentials there is nothing to refuse: what anonymous may do is decided at use.
    [[], undefined, 'anonymous'],
    [[push], undefined, 'anonymous'],
  ])('GET for %j with %s: %s', async (scopes, authorization, expected) => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    expect(await outcome(access, get(access, scopes, authorization))).toBe(expected);
  });

  test.each([
    [{ grant_type: 'password', username: 'bob', password: 'right' }, 'user'],
    [{ grant_type: 'password', username: 'bob', password: 'right', scope: push, access_type: 'offline' }, 'user'],
    [{ grant_type: 'password', username: 'bob', password: 'wrong' }, 'bad-credentials'],
    [{ grant_type: 'password', username: 'bob', password: 'wrong', scope: push }, 'bad-credentials'],
    [{ grant_type: 'password', username: 'hubuser', password: 'x', scope: pull }, 'anonymous'],
    // An identity token is another registry's: none is ever given out here.
    [{ grant_type: 'refresh_token', refresh_token: 'x', scope: pull }, 'anonymous'],
    [{ grant_type: 'refresh_token', refresh_token: 'x', scope: push }, 'bad-credentials'],
    [{ grant_type: 'refresh_token', refresh_token: 'x' }, 'bad-credentials'],
    [{ grant_type: 'password', username: 'bob' }, 'bad-request'],
    [{ grant_type: 'client_credentials' }, 'bad-request'],
    [{}, 'bad-request'],
  ])('POST %j: %s', async (form, expected) => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    expect(await outcome(access, post(access, form))).toBe(expected);
  });

  test('does not grow tokens without end', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const many = Array.from({ length: limits.maxScopes }, (_, index) => `repository:team/app${index}:pull`);
    expect((await get(access, many)).ok).toBe(true);
    expect(await get(access, [...many, pull])).toMatchObject({ failure: { kind: 'bad-request' } });
    const long = `repository:${'x'.repeat(limits.maxScopeCharacters)}:pull`;
    expect(await get(access, [long])).toMatchObject({ failure: { kind: 'bad-request' } });
  });

  test('of the longest scopes there are makes a token that a header can carry', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const scopes = Array.from({ length: 8 }, (_, index) => `repository:${String(index).repeat(490)}:pull`);
    const token = await tokenFor(access, scopes, basic('bob', 'right'));
    expect(token.length).toBeLessThan(8_192);
    expect(await holderOf(access, token)).toMatchObject({ kind: 'user' });
  });

  test('goes on giving pulls their anonymous token while passwords are being tried', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    for (let round = 0; round < limits.maxWrongPasswords; round++) {
      await get(access, [push], basic('bob', `wrong ${round}`));
    }
    const another = basic('bob', 'another');
    expect(await outcome(access, get(access, [push], another))).toBe('too-many-attempts');
    expect(await outcome(access, get(access, [pull], another))).toBe('anonymous');
    const closed = await site.open({ anonymous: { pull: false, push: false } });
    for (let round = 0; round < limits.maxWrongPasswords; round++) {
      await get(closed, [push], basic('bob', `wrong ${round}`));
    }
    expect(await outcome(closed, get(closed, [pull], another))).toBe('too-many-attempts');
  });
});

describe('without users', () => {
  test('nobody is asked for anything, and whatever is presented says nothing', async () => {
    await using site = await AccessSite.prepare();
    const access = await site.open();
    expect(access.hasUsers).toBe(false);
    for (const header of [undefined, '', basic('bob', 'x'), 'Bearer x.y.z', 'Negotiate x', 'garbage']) {
      expect(await access.identify(header, lan)).toEqual({ ok: true, value: { kind: 'anonymous' } });
    }
    expect(await outcome(access, get(access, [], basic('bob', 'x')))).toBe('anonymous');
  });
});

describe('a bearer token', () => {
  test('carries the user and what was asked for, for five minutes', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const issued = await get(access, [push, 'repository:mirror:5000/x:pull'], basic('bob', 'right'));
    if (!issued.ok) throw new Error(issued.failure.kind);
    expect(issued.value).toMatchObject({ expiresInSeconds: 300, issuedAt: site.nowMs });
    expect(await holderOf(access, issued.value.token)).toMatchObject({
      kind: 'user',
      name: 'bob',
      scopes: [
        { name: 'team/app', actions: new Set(['pull', 'push']) },
        { name: 'mirror:5000/x', actions: new Set(['pull']) },
      ],
    });
    site.pass(299_000);
    expect(await holderOf(access, issued.value.token)).toMatchObject({ kind: 'user' });
    site.pass(1_000);
    expect(await holderOf(access, issued.value.token)).toBe('token-expired');
  });

  test('holds no password and no hash', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const token = await tokenFor(await site.open(), [push], basic('bob', 'right'));
    const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
    expect(JSON.parse(text)).toMatchObject({ sub: 'bob', aud: tokenService });
    expect(text).not.toContain('right');
    expect(text).not.toContain('$2b$');
  });

  test('is worthless when the password changed, and when the user is gone', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const access = await site.open();
    const token = await tokenFor(access, [push], basic('bob', 'right'));
    await site.writeUsers({ bob: 'new', alice: 'hers' });
    site.pass(limits.fileLookMs);
    expect(await holderOf(access, token)).toBe('bad-token');
    const next = await tokenFor(access, [push], basic('bob', 'new'));
    await site.writeUsers({ alice: 'hers' });
    site.pass(limits.fileLookMs);
    expect(await holderOf(access, next)).toBe('bad-token');
  });

  test('outlives a restart, and is nothing to another server', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const token = await tokenFor(await site.open(), [push], basic('bob', 'right'));
    expect(await holderOf(await site.open(), token)).toMatchObject({ kind: 'user', name: 'bob' });
    await using other = await AccessSite.prepare();
    await writeFile(other.htpasswd, await readFile(site.htpasswd));
    expect(await holderOf(await other.open(), token)).toBe('bad-token');
  });

  test('that was forged is worthless', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const access = await site.open();
    const genuine = await tokenFor(access, [push], basic('bob', 'right'));
    const key = await readFile(join(site.root, 'token.key'));
    const [head = '', body = '', signature = ''] = genuine.split('.');
    const payload = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = (claims: Record<string, unknown>, header: { alg: string; typ?: string }, secret: Uint8Array = key) =>
      new SignJWT(claims).setProtectedHeader(header).sign(secret);
    const typed = { alg: 'HS256', typ: 'at+jwt' };

    expect(await holderOf(access, await signed(payload, typed))).toMatchObject({ name: 'bob' });
    for (const [what, forged] of [
      ['no signature at all', `${encoded({ alg: 'none', typ: 'at+jwt' })}.${body}.`],
      ['alg none with a signature', `${encoded({ alg: 'none', typ: 'at+jwt' })}.${body}.${signature}`],
      ['another body', `${head}.${encoded({ ...payload, sub: 'alice' })}.${signature}`],
      ['another key', await signed(payload, typed, new Uint8Array(32))],
      ['another algorithm', await signed(payload, { alg: 'HS512', typ: 'at+jwt' }, Buffer.concat([key, key]))],
      ['another algorithm with the same key', await signed(payload, { alg: 'HS512', typ: 'at+jwt' })],
      ['another type', await signed(payload, { alg: 'HS256', typ: 'JWT' })],
      ['another user, even with the key', await signed({ ...payload, sub: 'alice' }, typed)],
      ['another issuer', await signed({ ...payload, iss: 'somebody' }, typed)],
      ['another audience', await signed({ ...payload, aud: 'registry.docker.io' }, typed)],
      ['no end', await signed({ ...payload, exp: undefined }, typed)],
      ['no fingerprint', await signed({ ...payload, fingerprint: undefined }, typed)],
      ['scopes that are none', await signed({ ...payload, scopes: 'all' }, typed)],
      ['a machine token that is not there', await signed({ ...payload, machine: '00000000' }, typed)],
      ['half of it', genuine.slice(0, genuine.length / 2)],
      ['nothing', 'x'],
    ] as const) {
      expect(await holderOf(access, forged), what).toBe('bad-token');
    }
  });
});

describe('a machine token', () => {
  async function create(site: AccessSite, wish: Partial<TokenWish> = {}) {
    const accounts = new EditAccounts(accountFiles(site.root, undefined));
    const actions = new Set<Action>(['pull', 'push']);
    const defaults = { user: 'bob', name: 'ci', createdAt: site.nowMs, expiresAt: undefined, repositories: undefined };
    const made = await accounts.createToken({ ...defaults, actions, ...wish });
    if (!made.ok) throw new Error(made.failure);
    return { ...made.value, accounts };
  }

  test('is a password of its user, with bounds, at once in a server that runs', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const access = await site.open();
    expect(await access.identify(basic('bob', 'ent_x'), lan)).toMatchObject({ failure: { kind: 'bad-credentials' } });
    const { secret } = await create(site);
    site.pass(limits.fileLookMs);
    const bounded = { kind: 'user', name: 'bob', machine: { actions: new Set(['pull', 'push']) } };
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ ok: true, value: bounded });
    expect(await access.identify(basic('alice', secret), lan)).toMatchObject({ ok: false });
    // The bounds go with the bearer token that it is exchanged for.
    expect(await holderOf(access, await tokenFor(access, [push], basic('bob', secret)))).toMatchObject(bounded);
  });

  test('is kept as a hash, in a file that nobody else reads', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const { secret } = await create(site);
    expect(secret).toMatch(/^ent_[\w-]{43}$/);
    const file = join(site.root, 'tokens.json');
    expect(await readFile(file, 'utf8')).not.toContain(secret.slice(4));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('ends when it expires, with the bearer tokens that it was exchanged for', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const { secret } = await create(site, { expiresAt: site.nowMs + 60_000 });
    const access = await site.open();
    const token = await tokenFor(access, [push], basic('bob', secret));
    expect(await holderOf(access, token)).toMatchObject({ name: 'bob' });
    site.pass(60_000);
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ failure: { kind: 'bad-credentials' } });
    expect(await holderOf(access, token)).toBe('bad-token');
  });

  test('that was removed is worthless, with the bearer tokens that it was exchanged for', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const { secret, token: made, accounts } = await create(site);
    const other = await create(site);
    const access = await site.open();
    const token = await tokenFor(access, [push], basic('bob', secret));
    expect(await accounts.removeToken(made.id)).toEqual({ ok: true, value: true });
    site.pass(limits.fileLookMs);
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ ok: false });
    expect(await holderOf(access, token)).toBe('bad-token');
    expect(await access.identify(basic('bob', other.secret), lan)).toMatchObject({ ok: true });
  });

  test('of a user whose line is gone is worthless', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const { secret } = await create(site);
    await site.writeUsers({ alice: 'hers' });
    const access = await site.open();
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ failure: { kind: 'bad-credentials' } });
  });

  test('of a user who was removed is worthless, also to another user of that name', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const { secret, accounts } = await create(site);
    const access = await site.open();
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ ok: true });
    await accounts.removeUser('bob');
    site.pass(limits.fileLookMs);
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ ok: false });
    const bob = parseUserName('bob');
    if (bob.ok) await accounts.setPassword(bob.value, 'new');
    site.pass(limits.fileLookMs);
    expect(await access.identify(basic('bob', 'new'), lan)).toMatchObject({ ok: true });
    expect(await access.identify(basic('bob', secret), lan)).toMatchObject({ ok: false });
  });
});
