import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { repositoryNamed } from '../contract/words.ts';
import { LedgerFiles, StoreInMemory } from '../support/ledger-files.ts';

const app = repositoryNamed('docker.io/library/app');
const pageBytes = 4096;

/** Some hundred pages of ledger, journaled, stopped cleanly. */
async function fill(files: LedgerFiles): Promise<{ store: StoreInMemory; digests: readonly Digest[] }> {
  const store = new StoreInMemory();
  for (let count = 0; count < 400; count++) {
    const bytes = Buffer.from(`blob ${count}`);
    store.files.set(digestOf(bytes), bytes);
    await files.ledger.addBlob({ digest: digestOf(bytes), size: bytes.length, isPublic: true, storedAt: count }, app);
  }
  files.stop();
  return { store, digests: [...store.files.keys()] };
}

async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
}

function noise(bytes: number): Buffer {
  return Buffer.concat(Array.from({ length: bytes / 32 }, (_, at) => createHash('sha256').update(`${at}`).digest()));
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

test.each<[string, (path: string) => Promise<void>]>([
  ['is empty', (path) => truncate(path, 0)],
  ['is text', (path) => writeFile(path, 'this is not a database, but long enough to be read as one '.repeat(20))],
  ['is a short note', (path) => writeFile(path, 'todo')],
  ['is zeros', (path) => writeFile(path, Buffer.alloc(8_192))],
  ['has another header', (path) => overwrite(path, 0, Buffer.from('SQLite format 9'))],
  ['has no first page', (path) => overwrite(path, 0, noise(pageBytes))],
  [
    'has noise for some pages in the middle',
    async (path) => {
      for (const page of [5, 6, 20]) await overwrite(path, page * pageBytes, noise(pageBytes));
    },
  ],
  ['ends in the middle', async (path) => truncate(path, Math.floor((await stat(path)).size / 2))],
])('a ledger that %s is put aside as it is, and filled again', async (_, damage) => {
  await using files = await LedgerFiles.start();
  const { store, digests } = await fill(files);
  await damage(files.path());
  const damaged = await hashOf(files.path());
  const recovery = await files.start(store);
  expect(recovery?.reason).toMatch(/^ledger\.db was damaged: \S/);
  expect(recovery?.setAside).toBe('ledger.db.damaged-20231114T221320Z');
  expect(await hashOf(files.path(recovery!.setAside!))).toBe(damaged);
  expect(recovery?.recovered.blobs).toBe(400);
  for (const digest of digests) expect((await files.ledger.blob(digest))?.isPublic).toBe(true);
  files.stop();
  expect(await files.start(store)).toBeUndefined();
});

test('what was put aside is never overwritten', async () => {
  await using files = await LedgerFiles.start();
  const { store } = await fill(files);
  for (let time = 1; time <= 3; time++) {
    await writeFile(files.path(), `damage ${time}`);
    await files.start(store);
    files.stop();
  }
  const aside = (await readdir(files.root)).filter((name) => name.includes('damaged')).sort();
  const contents = await Promise.all(aside.map((name) => readFile(files.path(name), 'utf8')));
  expect(contents.sort()).toEqual(['damage 1', 'damage 2', 'damage 3']);
});

test('what is left in the log of a ledger that is gone does not come into the new one', async () => {
  await using files = await LedgerFiles.start();
  const { store } = await fill(files);
  await files.start(store);
  await files.ledger.addPin('docker.io/**', 1);
  const log = await readFile(files.path('ledger.db-wal'));
  await files.loseLedger();
  await rm(files.path('journal.ndjson'));
  await writeFile(files.path('ledger.db-wal'), log);
  const recovery = await files.start(store);
  expect(recovery).toMatchObject({ reason: 'ledger.db was not there', recovered: { blobs: 0 } });
  expect(await files.ledger.pins()).toEqual([]);
  expect(await readFile(files.path(`${recovery!.setAside!}-wal`))).toEqual(log);
});

test('a first start is no recovery', async () => {
  await using files = await LedgerFiles.prepare();
  expect(await files.start(new StoreInMemory())).toBeUndefined();
  files.stop();
  expect((await readdir(files.root)).sort()).toEqual(['journal.ndjson', 'ledger.db']);
  const { ledger, isNew } = await files.open();
  expect(isNew).toBeUndefined();
  ledger.close({ clean: true });
});

test('a sound ledger is opened as it is, also after kill -9', async () => {
  await using files = await LedgerFiles.start();
  const { store, digests } = await fill(files);
  await files.start(store);
  await files.ledger.addPin('docker.io/**', 1);
  // A second opening while the first is still open, as after kill -9: nothing was written on close.
  const { ledger, isNew } = await files.open();
  expect(isNew).toBeUndefined();
  expect(await ledger.pins()).toEqual(['docker.io/**']);
  expect((await ledger.totals()).blobs).toBe(digests.length);
  ledger.close({ clean: false });
});

test.each<[string, RegExp, (path: string) => void]>([
  ['of a newer version', /layout 999.*newer/, (path) => bySql(path, (db) => db.pragma('user_version = 999'))],
  [
    'of another program',
    /another program/,
    (path) => bySql(path, (db) => db.exec('DROP TABLE pins; PRAGMA user_version = 0')),
  ],
])('a database %s is no damage: it is refused, and stays where it is', async (_, message, change) => {
  await using files = await LedgerFiles.start();
  const { store } = await fill(files);
  change(files.path());
  const before = await hashOf(files.path());
  await expect(files.start(store)).rejects.toThrow(message);
  expect(await hashOf(files.path())).toBe(before);
  expect((await readdir(files.root)).filter((name) => name.includes('damaged'))).toEqual([]);
});

test('a ledger that cannot be opened is no damage', async () => {
  await using files = await LedgerFiles.prepare();
  await mkdir(files.path());
  await expect(files.open()).rejects.toThrow(/cannot be opened/);
  expect(await readdir(files.root)).toEqual(['ledger.db']);
});

function bySql(path: string, work: (db: Database.Database) => unknown): void {
  const db = new Database(path);
  try {
    db.pragma('journal_mode = DELETE');
    work(db);
  } finally {
    db.close();
  }
}

test('damage that shows while the daemon runs is told of once, and the next start puts the ledger aside', async () => {
  await using files = await LedgerFiles.start();
  const { store, digests } = await fill(files);
  await files.start(store);
  const pages = (await stat(files.path())).size / pageBytes;
  for (let page = 1; page < pages; page++) await overwrite(files.path(), page * pageBytes, noise(pageBytes));
  let failures = 0;
  for (const digest of digests) await files.ledger.blob(digest).catch(() => failures++);
  expect(failures).toBeGreaterThan(1);
  expect(files.damage).toHaveLength(1);
  expect(await readFile(files.path('ledger.damaged'), 'utf8')).toContain('malformed');
  expect(() => files.stop()).not.toThrow();

  const recovery = await files.start(store);
  expect(recovery).toMatchObject({ reason: expect.stringContaining('malformed') as string, recovered: { blobs: 400 } });
  expect(await readdir(files.root)).not.toContain('ledger.damaged');
  files.stop();
  expect(await files.start(store)).toBeUndefined();
});
