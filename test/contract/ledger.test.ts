import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { LedgerFiles } from '../support/ledger-files.ts';
import { type LedgerPlace, ledgerContract } from './ledger.ts';
import { digestNamed, repositoryNamed, tagNamed } from './words.ts';

ledgerContract('SqliteLedger in memory', () => placeOf(new SqliteLedger(':memory:')));
ledgerContract('SqliteLedger in a file', () => LedgerFile.open());
ledgerContract('HotLedger before a SqliteLedger', () => {
  const cold = new SqliteLedger(':memory:');
  return { ...placeOf(cold), ledger: new HotLedger(cold) };
});
ledgerContract('HotLedger before a JournaledLedger, as a daemon has it', async () => {
  const files = await LedgerFiles.start({ inMemory: true });
  return { ledger: new HotLedger(files.ledger), [Symbol.asyncDispose]: () => files[Symbol.asyncDispose]() };
});

function placeOf(ledger: SqliteLedger): LedgerPlace {
  return {
    ledger,
    [Symbol.asyncDispose]: () => {
      ledger.close({ clean: true });
      return Promise.resolve();
    },
  };
}

class LedgerFile implements LedgerPlace {
  readonly path: string;
  readonly #root: string;
  #ledger: SqliteLedger | undefined;

  private constructor(root: string) {
    this.#root = root;
    this.path = join(root, 'ledger.db');
  }

  /** An empty directory. */
  static async prepare(): Promise<LedgerFile> {
    return new LedgerFile(await mkdtemp(join(tmpdir(), 'entrepot-ledger-')));
  }

  static async open(): Promise<LedgerFile> {
    const file = await LedgerFile.prepare();
    file.reopen();
    return file;
  }

  get ledger(): SqliteLedger {
    if (this.#ledger === undefined) throw new Error('the ledger is closed');
    return this.#ledger;
  }

  reopen(): SqliteLedger {
    this.close();
    this.#ledger = new SqliteLedger(this.path);
    return this.#ledger;
  }

  close({ clean = true } = {}): void {
    this.#ledger?.close({ clean });
    this.#ledger = undefined;
  }

  /** As somebody else would read or change the file. */
  bySql<T>(work: (db: Database.Database) => T): T {
    const db = new Database(this.path);
    try {
      return work(db);
    } finally {
      db.close();
    }
  }

  usedAt(text: string): unknown {
    return this.bySql((db) => db.prepare('SELECT used_at FROM blobs WHERE digest = ?').pluck().get(digestNamed(text)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await rm(this.#root, { recursive: true, force: true });
  }
}

const app = repositoryNamed('docker.io/library/app');

function blobNamed(text: string) {
  return { digest: digestNamed(text), size: text.length, isPublic: true, isHosted: false, storedAt: 1_000 };
}

describe('the file of a SqliteLedger', () => {
  test('keeps everything over a restart', async () => {
    await using file = await LedgerFile.open();
    const manifest = { ...blobNamed('m'), mediaType: 'application/vnd.oci.image.manifest.v1+json' };
    const layer = { digest: digestNamed('layer'), size: 5, kind: 'blob' as const };
    await file.ledger.addManifest(manifest, [layer], app);
    await file.ledger.setTag(app, tagNamed('latest'), manifest.digest, 7);
    await file.ledger.setVisibility(app, false, 8);
    const again = file.reopen();
    expect(await again.manifest(manifest.digest)).toEqual(manifest);
    expect(await again.statedSize(app, layer.digest)).toBe(5);
    expect(await again.tag(app, tagNamed('latest'))).toEqual({ digest: manifest.digest, checkedAt: 7 });
    expect(await again.visibility(app)).toEqual({ isPublic: false, checkedAt: 8 });
    expect(await again.isLinked(app, manifest.digest)).toBe(true);
  });

  test('keeps what was recorded when the process ends without closing it', async () => {
    await using file = await LedgerFile.open();
    await file.ledger.addBlob(blobNamed('a'), app);
    // A second opening while the first is still open, as after kill -9: nothing was written on close.
    const found = new SqliteLedger(file.path);
    expect(await found.blob(digestNamed('a'))).toEqual(blobNamed('a'));
    found.close({ clean: false });
  });

  test('tells the sum of all sizes, and every blob in pages', async () => {
    await using file = await LedgerFile.open();
    expect(await file.ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
    expect(await file.ledger.blobs({ limit: 10 })).toEqual([]);
    for (const text of ['a', 'bb', 'ccc']) await file.ledger.addBlob(blobNamed(text), app);
    expect(await file.ledger.totals()).toEqual({ blobs: 3, bytes: 6, hostedBlobs: 0, hostedBytes: 0 });
    const digests = ['a', 'bb', 'ccc'].map(digestNamed).sort();
    const [first] = await file.ledger.blobs({ limit: 1 });
    const rest = await file.ledger.blobs({ limit: 10, after: String(first?.digest) });
    expect([first, ...rest].map((record) => record?.digest)).toEqual(digests);
  });

  test('is marked clean once, by a stop that was clean', async () => {
    await using file = await LedgerFile.open();
    expect(await file.ledger.takeCleanMark()).toBe(false);
    file.close({ clean: true });
    expect(await file.reopen().takeCleanMark()).toBe(true);
    expect(await file.ledger.takeCleanMark()).toBe(false);
    file.close({ clean: false });
    expect(await file.reopen().takeCleanMark()).toBe(false);
  });

  test('a start that took the mark and was killed leaves none', async () => {
    await using file = await LedgerFile.open();
    file.close({ clean: true });
    await file.reopen().takeCleanMark();
    const next = new SqliteLedger(file.path);
    expect(await next.takeCleanMark()).toBe(false);
    next.close({ clean: false });
  });
});

describe('a file of the first layout', () => {
  /** As the first version wrote it: an index of one image, which shares its base with another one. */
  const written = `
    CREATE TABLE blobs (
      digest    TEXT PRIMARY KEY,
      size      INTEGER NOT NULL CHECK (size >= 0),
      is_public INTEGER NOT NULL CHECK (is_public IN (0, 1)),
      stored_at INTEGER NOT NULL,
      used_at   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE manifests (
      digest     TEXT PRIMARY KEY REFERENCES blobs (digest) ON DELETE CASCADE,
      media_type TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE children (
      parent   TEXT NOT NULL REFERENCES manifests (digest) ON DELETE CASCADE,
      child    TEXT NOT NULL,
      kind     TEXT NOT NULL CHECK (kind IN ('manifest', 'blob')),
      size     INTEGER NOT NULL,
      platform TEXT,
      PRIMARY KEY (parent, child)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX children_by_child ON children (child);
    CREATE TABLE links (
      registry   TEXT NOT NULL,
      repository TEXT NOT NULL,
      digest     TEXT NOT NULL,
      PRIMARY KEY (registry, repository, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX links_by_digest ON links (digest);
    CREATE TABLE tags (
      registry   TEXT NOT NULL,
      repository TEXT NOT NULL,
      tag        TEXT NOT NULL,
      digest     TEXT NOT NULL,
      fallback   TEXT,
      checked_at INTEGER NOT NULL,
      PRIMARY KEY (registry, repository, tag)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE repositories (
      registry   TEXT NOT NULL,
      repository TEXT NOT NULL,
      is_public  INTEGER NOT NULL CHECK (is_public IN (0, 1)),
      checked_at INTEGER NOT NULL,
      PRIMARY KEY (registry, repository)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE facts (
      name  TEXT PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO blobs VALUES
      ('index', 1, 1, 10, 40), ('image', 2, 1, 10, 40), ('other', 4, 1, 10, 30), ('base', 8, 1, 10, 10),
      ('layer', 16, 1, 10, 10), ('loose', 32, 0, 10, 20);
    INSERT INTO manifests VALUES ('index', 'index type'), ('image', 'image type'), ('other', 'image type');
    INSERT INTO children VALUES
      ('index', 'image', 'manifest', 2, 'linux/amd64'), ('image', 'base', 'blob', 8, NULL),
      ('image', 'missing', 'blob', 9, NULL), ('other', 'base', 'blob', 8, NULL), ('other', 'layer', 'blob', 16, NULL);
    INSERT INTO links VALUES ('docker.io', 'library/app', 'index'), ('docker.io', 'library/app', 'other');
    INSERT INTO tags VALUES ('docker.io', 'library/app', 'latest', 'index', NULL, 7);
    PRAGMA user_version = 1;`;

  test('opens with what it had, counted: what is needed stays, and the rest goes in the order of its use', async () => {
    await using file = await LedgerFile.prepare();
    file.bySql((db) => db.exec(written));
    const ledger = file.reopen();
    expect(await ledger.totals()).toEqual({ blobs: 6, bytes: 63, hostedBlobs: 0, hostedBytes: 0 });
    expect(await ledger.leastUsed({ limit: 10 })).toEqual([
      { digest: 'loose', size: 32, usedAt: 20, isManifest: false, names: [] },
      { digest: 'other', size: 4, usedAt: 30, isManifest: true, names: [{ repository: app, tags: [] }] },
      { digest: 'index', size: 1, usedAt: 40, isManifest: true, names: [{ repository: app, tags: ['latest'] }] },
    ]);
    expect(await ledger.evict('other' as Digest, new Set())).toEqual([
      { digest: 'other', size: 4 },
      { digest: 'layer', size: 16 },
    ]);
    // The place in the count that was missing before is taken by what comes later.
    await ledger.addBlob({ ...blobNamed('m'), digest: 'missing' as Digest, size: 9 }, app);
    expect(await ledger.totals()).toEqual({ blobs: 5, bytes: 52, hostedBlobs: 0, hostedBytes: 0 });
    const order = (await file.reopen().leastUsed({ limit: 10 })).map(({ digest }) => digest);
    expect(order).toEqual(['loose', 'index']);
  });
});

describe('last use', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('is written on close, and only ever forward', async () => {
    await using file = await LedgerFile.open();
    await file.ledger.addBlob(blobNamed('a'), app);
    file.ledger.touch(digestNamed('a'), 5_000);
    expect(file.usedAt('a')).toBe(1_000);
    file.close();
    expect(file.usedAt('a')).toBe(5_000);
    file.reopen().touch(digestNamed('a'), 3_000);
    file.close();
    expect(file.usedAt('a')).toBe(5_000);
  });

  test('is written within a second, a thousand marks in one go', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await using file = await LedgerFile.open();
    await file.ledger.addBlob(blobNamed('a'), app);
    for (let at = 2_000; at < 3_000; at++) file.ledger.touch(digestNamed('a'), at);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(file.usedAt('a')).toBe(2_999);
    file.ledger.touch(digestNamed('a'), 4_000);
    vi.advanceTimersByTime(1_000);
    expect(file.usedAt('a')).toBe(4_000);
  });

  test('that cannot be written just then, because another process is writing, is written later and stops nothing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await using file = await LedgerFile.open();
    await file.ledger.addBlob(blobNamed('a'), app);
    const writer = new Database(file.path);
    writer.exec('BEGIN IMMEDIATE');
    file.ledger.touch(digestNamed('a'), 5_000);
    // An error out of a timer would end the process.
    expect(() => vi.advanceTimersByTime(1_000)).not.toThrow();
    writer.exec('ROLLBACK');
    writer.close();
    vi.advanceTimersByTime(1_000);
    expect(file.usedAt('a')).toBe(5_000);
  });
});

describe('a file that this version cannot use', () => {
  test('because a newer one wrote it is refused, says so, and stays as it was', async () => {
    await using file = await LedgerFile.open();
    await file.ledger.addBlob(blobNamed('a'), app);
    file.close();
    file.bySql((db) => {
      db.pragma('journal_mode = DELETE');
      db.pragma('user_version = 999');
    });
    const before = await readFile(file.path);
    expect(() => new SqliteLedger(file.path)).toThrow(/layout 999.*newer/);
    expect(await readFile(file.path)).toEqual(before);
    expect(file.bySql((db) => db.prepare('SELECT COUNT(*) FROM blobs').pluck().get())).toBe(1);
  });

  test('is let go of again: a repaired file in the same place opens', async () => {
    await using file = await LedgerFile.open();
    file.close();
    const layout = file.bySql((db) => db.pragma('user_version', { simple: true }) as number);
    file.bySql((db) => db.pragma('user_version = 999'));
    expect(() => new SqliteLedger(file.path)).toThrow();
    // Fails with SQLITE_BUSY while anybody else has the file open.
    file.bySql((db) => {
      db.pragma('journal_mode = DELETE');
      db.pragma(`user_version = ${layout}`);
    });
    expect(await file.reopen().totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
  });

  test.each([
    ['text', Buffer.from('this is not a database, but it is long enough to be read as one. '.repeat(20))],
    ['zeros', Buffer.alloc(8_192)],
    ['a short note', Buffer.from('todo')],
  ])('because it is no ledger at all (%s) is refused and not overwritten', async (_, content) => {
    await using file = await LedgerFile.prepare();
    await writeFile(file.path, content);
    expect(() => new SqliteLedger(file.path)).toThrow(/ledger/);
    expect(await readFile(file.path)).toEqual(content);
  });

  test('because it was cut short is refused and not overwritten', async () => {
    await using file = await LedgerFile.open();
    for (let made = 0; made < 200; made++) await file.ledger.addBlob(blobNamed(`blob ${made}`), app);
    file.close();
    const cut = (await readFile(file.path)).subarray(0, 3 * 4096 + 100);
    await writeFile(file.path, cut);
    expect(() => new SqliteLedger(file.path)).toThrow(/ledger.*malformed/);
    expect(await readFile(file.path)).toEqual(cut);
  });

  test('because it is another program’s database is refused and not touched', async () => {
    await using file = await LedgerFile.prepare();
    file.bySql((db) => db.exec('CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES (1)'));
    const before = await readFile(file.path);
    expect(() => new SqliteLedger(file.path)).toThrow(/ledger/);
    expect(await readFile(file.path)).toEqual(before);
  });

  test('because its directory is not there is refused', async () => {
    await using file = await LedgerFile.prepare();
    expect(() => new SqliteLedger(join(file.path, 'missing', 'ledger.db'))).toThrow();
  });

  test('an empty file is a new ledger', async () => {
    await using file = await LedgerFile.prepare();
    await writeFile(file.path, '');
    expect(await file.reopen().totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
  });
});
