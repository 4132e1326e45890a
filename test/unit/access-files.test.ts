import { appendFileSync } from 'node:fs';
import {
  appendFile,
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { accountFiles } from '../../src/access/accounts.ts';
import { EditAccounts } from '../../src/access/edit-accounts.ts';
import { editFile } from '../../src/access/edit-file.ts';
import { placeFile } from '../../src/access/files.ts';
import { anonymous } from '../../src/access/identity.ts';
import { limits } from '../../src/access/limits.ts';
import { parseUserName } from '../../src/access/user-name.ts';
import { repositoryNamed } from '../contract/words.ts';
import { AccessSite, basic, lan } from '../support/access-site.ts';

const tokenRequest = {
  method: 'GET',
  parameters: new URLSearchParams(),
  authorization: undefined,
  address: lan,
} as const;

describe('the file of users', () => {
  test('that appears after the start is noticed, also where the configuration names it', async () => {
    await using site = await AccessSite.prepare();
    const [plain, named] = [await site.open(), await site.open({ htpasswd: join(site.root, 'sub/users') })];
    expect([plain.hasUsers, named.hasUsers]).toEqual([false, false]);
    await site.writeUsers({ bob: 'right' });
    await mkdir(join(site.root, 'sub'));
    await writeFile(join(site.root, 'sub/users'), await readFile(site.htpasswd));
    site.pass(limits.fileLookMs);
    for (const access of [plain, named]) {
      expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ value: { name: 'bob' } });
      expect(access.hasUsers).toBe(true);
    }
    expect(site.troubles).toEqual([]);
  });

  test('is looked at once a second at most', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await site.writeUsers({ bob: 'new' });
    site.pass(limits.fileLookMs - 1);
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: true });
    site.pass(1);
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: false });
  });

  test('that cannot be read any more, or is only half there, stays what it was, and that is told once', async () => {
    await using site = await AccessSite.prepare({ bob: 'right', alice: 'hers' });
    const access = await site.open();
    const content = await readFile(site.htpasswd, 'utf8');
    for (const break_ of [
      () => writeFile(site.htpasswd, content.slice(0, -10)),
      () => rm(site.htpasswd).then(() => mkdir(site.htpasswd)),
    ]) {
      site.troubles.length = 0;
      await break_();
      for (let round = 0; round < 3; round++) {
        site.pass(limits.fileLookMs);
        expect(await access.identify(basic('alice', 'hers'), lan)).toMatchObject({ value: { name: 'alice' } });
      }
      expect(site.troubles).toHaveLength(1);
      expect(site.troubles[0]).toMatch(/^htpasswd .*; what it said before holds$/);
    }
    await rm(site.htpasswd, { recursive: true });
    await writeFile(site.htpasswd, content.split('\n')[0] ?? '');
    site.pass(limits.fileLookMs);
    expect(await access.identify(basic('alice', 'hers'), lan)).toMatchObject({ ok: false });
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: true });
  });

  test('that is empty for a moment, as while it is written anew, throws nobody out; that stays empty, everybody', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const content = await readFile(site.htpasswd);
    for (const empty of [() => writeFile(site.htpasswd, ''), () => rm(site.htpasswd)]) {
      await empty();
      site.pass(limits.fileLookMs);
      expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ value: { kind: 'user' } });
      await writeFile(site.htpasswd, content);
      site.pass(limits.fileLookMs);
      expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ value: { kind: 'user' } });
    }
    await writeFile(site.htpasswd, '');
    site.pass(limits.fileLookMs);
    await access.reload();
    await access.reload();
    expect(access.hasUsers).toBe(false);
  });

  test('with lines that let nobody in was meant to keep people out, and is told without what stands in them', async () => {
    await using site = await AccessSite.prepare();
    await writeFile(site.htpasswd, 'bob:$apr1$salt$secret\n');
    const access = await site.open();
    expect(access.hasUsers).toBe(true);
    expect(await access.identify(basic('bob', 'secret'), lan)).toMatchObject({ failure: { kind: 'bad-credentials' } });
    expect(site.troubles).toEqual([
      'htpasswd has lines that let nobody in: line 1: its hash is not bcrypt (htpasswd -B makes such)',
    ]);
    await appendFile(site.htpasswd, '# a comment\n');
    await access.reload();
    expect(site.troubles).toHaveLength(1);
  });

  test('that cannot be read at the start lets nobody in, instead of everybody be nobody', async () => {
    await using site = await AccessSite.prepare();
    await mkdir(site.htpasswd);
    const access = await site.open();
    expect(access.hasUsers).toBe(true);
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: false });
    expect(site.troubles).toHaveLength(1);
  });

  test('can become another one by a new configuration, with other rules', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    await rename(site.htpasswd, join(site.root, 'old'));
    await site.writeUsers({ alice: 'hers' });
    const anonymous = { pull: false, push: false };
    await access.replace({ htpasswd: join(site.root, 'old'), anonymous, rules: [], defaultRegistry: null });
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: true });
    expect(await access.identify(basic('alice', 'hers'), lan)).toMatchObject({ ok: false });
  });

  test('settings that were replaced while their file was being read never come back', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const access = await site.open();
    const settings = { rules: [], defaultRegistry: null };
    const open = { ...settings, htpasswd: join(site.root, 'other'), anonymous: { pull: true, push: true } };
    const first = access.replace(open);
    await access.replace({ ...settings, anonymous: { pull: false, push: false } });
    await first;
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: true });
    expect(access.may(anonymous, lan, 'push', repositoryNamed('docker.io/team/app'))).toBe(false);
  });
});

describe('the file of machine tokens', () => {
  test('that is damaged is told, is not written over, and lets no password fail', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const file = join(site.root, 'tokens.json');
    await writeFile(file, '{ "version": 1, "tokens": [');
    const access = await site.open();
    expect(site.troubles).toEqual(['tokens.json is not JSON; what it said before holds']);
    expect(await access.identify(basic('bob', 'right'), lan)).toMatchObject({ ok: true });
    const accounts = new EditAccounts(accountFiles(site.root, undefined));
    expect(await accounts.removeToken('00000000')).toEqual({ ok: false, failure: `${file} is not JSON` });
    expect(await readFile(file, 'utf8')).toBe('{ "version": 1, "tokens": [');
  });
});

describe('the signing key', () => {
  test('is made once, for its owner only, also when two need it at the same time', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    const [one, other] = [await site.open(), await site.open()];
    const [token] = await Promise.all([
      one.issueToken({ ...tokenRequest, authorization: basic('bob', 'right') }),
      other.issueToken(tokenRequest),
    ]);
    if (!token.ok) throw new Error(token.failure.kind);
    expect(await other.identify(`Bearer ${token.value.token}`, lan)).toMatchObject({ value: { name: 'bob' } });
    const found = await stat(join(site.root, 'token.key'));
    expect([found.size, found.mode & 0o777]).toEqual([32, 0o600]);
    expect((await readdir(site.root)).sort()).toEqual(['htpasswd', 'token.key']);
  });

  test('that is there already is not replaced', async () => {
    await using site = await AccessSite.prepare();
    const path = join(site.root, 'token.key');
    await placeFile(path, Buffer.from('first'));
    await placeFile(path, Buffer.from('second'));
    expect(await readFile(path, 'utf8')).toBe('first');
    expect(await readdir(site.root)).toEqual(['token.key']);
  });

  test('that cannot be used is told; tokens then last until the end of the process', async () => {
    await using site = await AccessSite.prepare({ bob: 'right' });
    await writeFile(join(site.root, 'token.key'), 'short');
    const access = await site.open();
    const token = await access.issueToken({ ...tokenRequest, authorization: basic('bob', 'right') });
    if (!token.ok) throw new Error(token.failure.kind);
    expect(await access.identify(`Bearer ${token.value.token}`, lan)).toMatchObject({ value: { name: 'bob' } });
    expect(site.troubles).toEqual([
      'token.key cannot be used, so tokens are worthless after a restart: it has 5 bytes instead of 32; remove it',
    ]);
    expect(await (await site.open()).identify(`Bearer ${token.value.token}`, lan)).toMatchObject({ ok: false });
  });
});

describe('editing a file', () => {
  test('keeps its mode and owner, leaves nothing behind, and goes through links', async () => {
    await using site = await AccessSite.prepare();
    const [file, link] = [join(site.root, 'file'), join(site.root, 'link')];
    await writeFile(file, 'old');
    await chmod(file, 0o640);
    if (process.geteuid?.() === 0) await chown(file, 1234, 1234);
    await symlink(file, link);
    const before = await stat(file);
    expect(await editFile(link, (content) => `${content} and new`)).toEqual({ ok: true, value: true });
    expect(await readFile(file, 'utf8')).toBe('old and new');
    const after = await stat(file);
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
    expect((await readdir(site.root)).sort()).toEqual(['file', 'link']);
  });

  test('makes directories, for a new file that belongs to whoever has the directory and is read by nobody else', async () => {
    await using site = await AccessSite.prepare();
    const file = join(site.root, 'a/b/file');
    expect(await editFile(file, () => 'new')).toEqual({ ok: true, value: true });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(file)).uid).toBe((await stat(join(site.root, 'a/b'))).uid);
  });

  test('that would change nothing writes nothing', async () => {
    await using site = await AccessSite.prepare();
    expect(await editFile(join(site.root, 'file'), () => undefined)).toEqual({ ok: true, value: false });
    expect(await readdir(site.root)).toEqual([]);
  });

  test('loses nothing that somebody else writes meanwhile', async () => {
    await using site = await AccessSite.prepare();
    const file = join(site.root, 'file');
    await writeFile(file, 'one\n');
    let rounds = 0;
    await editFile(file, (content) => {
      if (rounds++ === 0) appendFileSync(file, 'two\n');
      return `${content}three\n`;
    });
    expect(await readFile(file, 'utf8')).toBe('one\ntwo\nthree\n');
  });

  test('where nothing can be written says so', async () => {
    const edited = await editFile('/proc/entrepot/users', () => 'new');
    expect(edited).toMatchObject({ ok: false });
    const bob = parseUserName('bob');
    const accounts = new EditAccounts(accountFiles('/proc/entrepot', undefined));
    expect(bob.ok && (await accounts.setPassword(bob.value, 'x'))).toMatchObject({
      ok: false,
      failure: expect.stringContaining('/proc/entrepot/htpasswd cannot be written') as string,
    });
  });
});
