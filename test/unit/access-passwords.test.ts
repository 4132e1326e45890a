import { writeFile } from 'node:fs/promises';
import { compare, getRounds } from 'bcrypt';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { AccessControl } from '../../src/access/access-control.ts';
import { limits } from '../../src/access/limits.ts';
import { WrongPasswords } from '../../src/access/wrong-passwords.ts';
import { AccessSite, basic, lan } from '../support/access-site.ts';

// The real bcrypt, counted.
vi.mock('bcrypt', { spy: true });

afterEach(() => {
  vi.mocked(compare).mockClear();
});

function runs(): number {
  return vi.mocked(compare).mock.calls.length;
}

/** What came of it, in one word. */
async function login(access: AccessControl, user: string, password: string, address = lan): Promise<string> {
  const identity = await access.identify(basic(user, password), address);
  return identity.ok ? identity.value.kind : identity.failure.kind;
}

describe('passwords', () => {
  test('the right one lets in, any other does not', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', carol: 'pass:word' });
    const access = await site.open();
    expect(await access.identify(basic('bob', 'right'), lan)).toEqual({
      ok: true,
      value: { kind: 'user', name: 'bob' },
    });
    expect(await login(access, 'carol', 'pass:word')).toBe('user');
    for (const [user, password] of [
      ['bob', 'wrong'],
      ['bob', ''],
      ['bob', 'right\u0000'],
      ['bob', '\u0000'],
      ['Bob', 'right'],
      ['carol', 'right'],
      ['', ''],
      ['__proto__', 'right'],
    ] as const) {
      expect(await login(access, user, password), `${user}:${password}`).toBe('bad-credentials');
    }
  });

  test.each(['a', 'b', 'y'])('with a hash from elsewhere ($2%s$) lets in', async (letter) => {
    await using site = await AccessSite.prepare();
    // Of the test vectors of crypt_blowfish, Openwall.
    const hash = `$2${letter}$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW`;
    await writeFile(site.htpasswd, `bob:${hash}\n`);
    const access = await site.open();
    expect(await login(access, 'bob', 'U*U')).toBe('user');
    expect(await login(access, 'bob', 'U*U*')).toBe('bad-credentials');
  });

  test('beyond 72 bytes the rest of a password is not looked at, as bcrypt has it', async () => {
    const long = 'ä'.repeat(36);
    await using site = await AccessSite.prepare({ bob: long });
    const access = await site.open();
    expect(await login(access, 'bob', `${long}and so on${'x'.repeat(300)}`)).toBe('user');
    expect(await login(access, 'bob', long.slice(1))).toBe('bad-credentials');
  });

  test('a verified and a failed pair are remembered: bcrypt does not run for each request', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    for (let round = 0; round < 20; round++) {
      expect(await login(access, 'bob', 'right')).toBe('user');
      expect(await login(access, 'bob', 'wrong')).toBe('bad-credentials');
      expect(await login(access, 'hubuser', 'hub password')).toBe('bad-credentials');
    }
    expect(runs()).toBe(3);
    site.pass(Math.max(limits.verifiedTtlMs, limits.failedTtlMs));
    await login(access, 'bob', 'right');
    await login(access, 'hubuser', 'hub password');
    expect(runs()).toBe(5);
  });

  test('many at once with the same pair cost one run', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => login(access, 'bob', 'right')));
    expect(new Set(outcomes)).toEqual(new Set(['user']));
    expect(runs()).toBe(1);
  });

  test('a password that was changed lets nobody in any more, although it is remembered', async () => {
    await using site = await AccessSite.prepare({ bob: 'old' });
    const access = await site.open();
    expect(await login(access, 'bob', 'old')).toBe('user');
    expect(await login(access, 'bob', 'new')).toBe('bad-credentials');
    await site.writeUsers({ bob: 'new' });
    site.pass(limits.fileLookMs);
    expect(await login(access, 'bob', 'old')).toBe('bad-credentials');
    expect(await login(access, 'bob', 'new')).toBe('user');
  });
});

describe('who does not exist', () => {
  test('costs the same work as who does, once', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await login(access, 'bob', 'wrong');
    await login(access, 'nobody', 'wrong');
    await login(access, 'nobody', 'wrong');
    expect(runs()).toBe(2);
    const [first, second] = vi.mocked(compare).mock.calls.map(([, hash]) => getRounds(hash));
    expect(second).toBe(first);
  });

  test('is never slowed, however many passwords are tried', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    for (let round = 0; round < 3 * limits.maxWrongPasswords; round++) {
      expect(await login(access, 'nobody', `wrong ${round}`)).toBe('bad-credentials');
    }
  });

  test('is let in as soon as he does, although he was remembered as unknown', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    expect(await login(access, 'carol', 'hers')).toBe('bad-credentials');
    await site.writeUsers({ bob: 'right', carol: 'hers' });
    await access.reload();
    expect(await login(access, 'carol', 'hers')).toBe('user');
  });
});

describe('trying passwords', () => {
  async function tryWrong(access: AccessControl, count: number, address = lan): Promise<void> {
    for (let round = 0; round < count; round++) await login(access, 'bob', `wrong ${round}`, address);
  }

  test('is told to wait after some wrong ones, without any work, and may go on later', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await tryWrong(access, limits.maxWrongPasswords);
    const before = runs();
    site.pass(1_000);
    expect(await access.identify(basic('bob', 'right'), lan)).toEqual({
      ok: false,
      failure: { kind: 'too-many-attempts', retryAfterSeconds: limits.wrongPasswordWindowMs / 1_000 - 1 },
    });
    expect(runs()).toBe(before);
    site.pass(limits.wrongPasswordWindowMs - 1_000);
    expect(await login(access, 'bob', 'right')).toBe('user');
  });

  test('counts no right password, and the same wrong one once', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await tryWrong(access, limits.maxWrongPasswords - 1);
    expect(await login(access, 'bob', 'right')).toBe('user');
    expect(await login(access, 'bob', 'the last')).toBe('bad-credentials');
    expect(await login(access, 'bob', 'one more')).toBe('too-many-attempts');

    const counted = new WrongPasswords(site.clock);
    for (let round = 0; round < 2 * limits.maxWrongPasswords; round++) {
      expect(counted.begin('bob', 'the same')).toBeUndefined();
    }
    expect(counted.begin('bob', 'another')).toBeUndefined();
  });

  test('many at once is no way around', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await Promise.all(Array.from({ length: 100 }, (_, round) => login(access, 'bob', `wrong ${round}`)));
    expect(runs()).toBe(limits.maxWrongPasswords);
  });

  test('the same wrong one again and again, as an engine presents it on every pull, is no trying', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    for (let round = 0; round < 50; round++) {
      expect(await login(access, 'bob', 'password at the hub')).toBe('bad-credentials');
      site.pass(60_000);
    }
    expect(await login(access, 'bob', 'right')).toBe('user');
  });

  test('slows neither who is remembered, nor other clients, nor other users', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', carol: 'hers' });
    const access = await site.open();
    expect(await login(access, 'bob', 'right')).toBe('user');
    await tryWrong(access, 2 * limits.maxWrongPasswords);
    expect(await login(access, 'bob', 'another')).toBe('too-many-attempts');
    expect(await login(access, 'bob', 'right')).toBe('user');
    expect(await login(access, 'bob', 'another', '10.0.0.8')).toBe('bad-credentials');
    expect(await login(access, 'carol', 'hers')).toBe('user');
  });

  test('from another address of the same IPv6 network is the same', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await tryWrong(access, limits.maxWrongPasswords, '2001:db8::1');
    expect(await login(access, 'bob', 'another', '2001:db8::2')).toBe('too-many-attempts');
  });

  test('by a crowd is bounded: the rest is told to come back, and whoever comes from elsewhere is heard', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const flood = Array.from({ length: 100 }, (_, round) => login(access, `stranger ${round}`, 'x'));
    const other = login(access, 'bob', 'right', '10.0.0.8');
    const outcomes = await Promise.all(flood);
    expect(outcomes.filter((outcome) => outcome === 'bad-credentials')).toHaveLength(limits.maxBcryptPerAddress);
    expect(outcomes.filter((outcome) => outcome === 'busy')).toHaveLength(100 - limits.maxBcryptPerAddress);
    expect(await other).toBe('user');
    expect(await login(access, 'stranger 99', 'x')).toBe('bad-credentials');
  });

  test('by crowds from everywhere has a bound of its own', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const flood = Array.from({ length: 400 }, (_, round) => login(access, `s${round}`, 'x', `10.1.0.${round % 250}`));
    const heard = (await Promise.all(flood)).filter((outcome) => outcome !== 'busy');
    expect(heard).toHaveLength(limits.maxBcryptQueue + limits.maxBcryptRuns);
  });
});
