import { mkdtemp, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { BlobRecord } from '../../src/mirror/ports.ts';
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { type Reconciled, reconcile } from '../../src/store/reconcile.ts';
import { Books } from '../support/books.ts';

/** A data directory as a stop that was not clean may leave it: store and ledger in it need not agree. */
class DataDirectory implements AsyncDisposable {
  readonly root: string;
  readonly ledger = new SqliteLedger(':memory:');

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<DataDirectory> {
    return new DataDirectory(await mkdtemp(join(tmpdir(), 'entrepot-data-')));
  }

  async addFile(text: string): Promise<Digest> {
    const digest = digestOf(Buffer.from(text));
    const store = await DiskBlobStore.open(this.root, new Budget(1_000_000));
    await store.put(digest, Buffer.from(text), new Books().cached(digest, text.length));
    // Of yesterday: what is stored while reconciliation runs is not its business.
    await utimes(this.pathOf(digest), new Date(1_000), new Date(1_000));
    return digest;
  }

  async addRow(text: string): Promise<Digest> {
    const { digest } = await this.record(text);
    return digest;
  }

  record(text: string): Promise<BlobRecord> {
    const digest = digestOf(Buffer.from(text));
    return this.ledger.addBlob({ digest, size: text.length, isPublic: true, storedAt: 1_000 }, undefined);
  }

  pathOf(digest: Digest): string {
    return join(this.root, 'blobs', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest));
  }

  /** As at start: committed blobs are counted as the ledger has them. */
  async start(
    signal = new AbortController().signal,
    meanwhile?: (store: DiskBlobStore) => Promise<void>,
  ): Promise<{ found: Reconciled; budget: Budget }> {
    const budget = new Budget(1_000_000);
    const store = await DiskBlobStore.open(this.root, budget, { mayHaveStrays: true });
    store.lookUp = (digest) => this.ledger.blob(digest);
    budget.count((await this.ledger.totals()).bytes);
    await meanwhile?.(store);
    const found = await reconcile({ store, ledger: this.ledger, now: Date.now, signal });
    return { found, budget };
  }

  async bytesThere(): Promise<number> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ledger.close({ clean: false });
    await rm(this.root, { recursive: true, force: true });
  }
}

test('where store and ledger agree nothing changes', async () => {
  await using data = await DataDirectory.make();
  for (const text of ['one', 'three', 'fourteen']) {
    await data.addFile(text);
    await data.addRow(text);
  }
  const { found, budget } = await data.start();
  expect(found).toEqual({ adopted: 0, forgotten: 0, lostHosted: [] });
  expect(budget.taken).toBe(await data.bytesThere());
});

test('a file that the ledger missed is adopted, and is for nobody without proof', async () => {
  await using data = await DataDirectory.make();
  const digest = await data.addFile('orphan');
  const { found, budget } = await data.start();
  expect(found).toEqual({ adopted: 1, forgotten: 0, lostHosted: [] });
  expect(await data.ledger.blob(digest)).toMatchObject({ size: 6, isPublic: false });
  expect(budget.taken).toBe(await data.bytesThere());
});

test('a row whose file is gone is forgotten, and its bytes given back', async () => {
  await using data = await DataDirectory.make();
  const digest = await data.addRow('ghost');
  await data.addFile('real');
  await data.addRow('real');
  const { found, budget } = await data.start();
  expect(found).toEqual({ adopted: 0, forgotten: 1, lostHosted: [] });
  expect(await data.ledger.blob(digest)).toBeUndefined();
  expect(budget.taken).toBe(await data.bytesThere());
});

test.each([
  ['shorter', 3],
  ['empty', 0],
  ['longer', 500],
])('a file that is %s than its row says is deleted and forgotten, and the budget is right', async (_, size) => {
  await using data = await DataDirectory.make();
  const digest = await data.addFile('truncated by a power loss');
  await data.addRow('truncated by a power loss');
  await data.addFile('sound');
  await data.addRow('sound');
  await truncate(data.pathOf(digest), size);
  const { found, budget } = await data.start();
  expect(found).toEqual({ adopted: 0, forgotten: 1, lostHosted: [] });
  expect(await data.ledger.blob(digest)).toBeUndefined();
  expect(await data.bytesThere()).toBe('sound'.length);
  expect(budget.taken).toBe('sound'.length);
});

test('stray files are left alone and stop nothing', async () => {
  await using data = await DataDirectory.make();
  await data.addFile('orphan');
  await writeFile(join(data.root, 'blobs', 'README'), 'mine');
  const { found } = await data.start();
  expect(found).toEqual({ adopted: 1, forgotten: 0, lostHosted: [] });
  expect(await readdir(join(data.root, 'blobs'))).toContain('README');
});

test('more rows than are read at once are all looked at', async () => {
  await using data = await DataDirectory.make();
  for (let row = 0; row < 1_201; row++) await data.addRow(`ghost ${row}`);
  const { found, budget } = await data.start();
  expect(found).toEqual({ adopted: 0, forgotten: 1_201, lostHosted: [] });
  expect(budget.taken).toBe(0);
});

test('a stop in the middle ends it, and the next one finishes', async () => {
  await using data = await DataDirectory.make();
  await data.addRow('ghost');
  await data.addFile('orphan');
  expect((await data.start(AbortSignal.abort())).found).toEqual({ adopted: 0, forgotten: 0, lostHosted: [] });
  expect((await data.start()).found).toEqual({ adopted: 1, forgotten: 1, lostHosted: [] });
});

test('a file that the ledger missed and that is fetched again before it was found is counted once', async () => {
  await using data = await DataDirectory.make();
  const [filled, put] = [await data.addFile('fetched again'), await data.addFile('put again')];
  const { found, budget } = await data.start(undefined, async (store) => {
    await using writer = await store.begin(filled);
    await writer.append(Buffer.from('fetched again'));
    expect(writer.verify()).toBe(true);
    await writer.commit(() => data.record('fetched again'));
    expect(await store.put(put, Buffer.from('put again'), () => data.record('put again'))).toBe(true);
  });
  expect(found).toEqual({ adopted: 0, forgotten: 0, lostHosted: [] });
  expect(budget.taken).toBe(await data.bytesThere());
});

test('a file that the ledger missed is counted once when a fill replaces it after it was found', async () => {
  await using data = await DataDirectory.make();
  const digest = await data.addFile('fetched again');
  const budget = new Budget(1_000_000);
  const store = await DiskBlobStore.open(data.root, budget, { mayHaveStrays: true });
  store.lookUp = (digest) => data.ledger.blob(digest);
  await using writer = await store.begin(digest);
  await writer.append(Buffer.from('fetched'));
  const found = await reconcile({
    store,
    ledger: data.ledger,
    now: Date.now,
    signal: new AbortController().signal,
  });
  expect(found).toEqual({ adopted: 1, forgotten: 0, lostHosted: [] });
  await writer.append(Buffer.from(' again'));
  expect(writer.verify()).toBe(true);
  await writer.commit(() => data.record('fetched again'));
  expect(budget.taken).toBe(await data.bytesThere());
});
