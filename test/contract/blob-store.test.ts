import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf, hexOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Books } from '../support/books.ts';
import { blobStoreContract, type OpenedStore, type StoragePlace } from './blob-store.ts';

blobStoreContract('DiskBlobStore', (limitBytes) => DiskPlace.open(limitBytes));

class DiskPlace implements StoragePlace {
  readonly root: string;
  readonly #limitBytes: number;
  #opened: OpenedStore;

  private constructor(root: string, limitBytes: number, opened: OpenedStore) {
    this.root = root;
    this.#limitBytes = limitBytes;
    this.#opened = opened;
  }

  static async open(limitBytes: number): Promise<DiskPlace> {
    const root = await mkdtemp(join(tmpdir(), 'entrepot-store-'));
    return new DiskPlace(root, limitBytes, await openCounted(root, limitBytes, new Books()));
  }

  get store() {
    return this.#opened.store;
  }

  get budget() {
    return this.#opened.budget;
  }

  get books() {
    return this.#opened.books;
  }

  async reopen(): Promise<OpenedStore> {
    this.#opened = await openCounted(this.root, this.#limitBytes, this.books);
    return this.#opened;
  }

  async bytesThere(): Promise<number> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Committed blobs are for the caller to count. */
async function openCounted(root: string, limitBytes: number, books: Books): Promise<OpenedStore> {
  const budget = new Budget(limitBytes);
  const store = await DiskBlobStore.open(root, budget);
  store.lookUp = books.lookUp;
  budget.count(books.counted);
  return { store, budget, books };
}

const bytes = Buffer.from('content');
const digest = digestOf(bytes);

test('what a crash left in incoming/ is removed at start and counts for nothing', async () => {
  await using place = await DiskPlace.open(1_000);
  await writeFile(join(place.root, 'incoming', 'left-by-a-crash'), Buffer.alloc(300));
  const { budget } = await place.reopen();
  expect(budget.taken).toBe(0);
  expect(await readdir(join(place.root, 'incoming'))).toEqual([]);
});

test('a blob lies where the documented layout says', async () => {
  await using place = await DiskPlace.open(1_000);
  await place.store.put(digest, bytes, place.books.cached(digest, bytes.length));
  const hex = hexOf(digest);
  expect((await stat(join(place.root, 'blobs', 'sha256', hex.slice(0, 2), hex))).size).toBe(bytes.length);
});

test('an empty partial file that a crash left is as good as none', async () => {
  await using place = await DiskPlace.open(1_000);
  await writeFile(join(place.root, 'partial', `sha256-${hexOf(digest)}`), '');
  const { store, budget } = await place.reopen();
  {
    await using writer = await store.begin(digest);
    expect(writer.kept).toBe(0);
  }
  expect(await readdir(join(place.root, 'partial'))).toEqual([]);
  expect(budget.taken).toBe(0);
});

test('more bytes than a lowered cap allows are found at start: they are served, and nothing is added', async () => {
  await using place = await DiskPlace.open(1_000);
  await place.store.put(digest, bytes, place.books.cached(digest, bytes.length));
  const { store, budget } = await openCounted(place.root, 3, place.books);
  expect(budget.taken).toBe(bytes.length);
  await using reader = await store.open(digest);
  expect(reader?.size).toBe(bytes.length);
  const one = digestOf(Buffer.from('x'));
  expect(await store.put(one, Buffer.from('x'), place.books.cached(one, 1))).toBe(false);
});

test.each([
  ['beside the algorithms', '.DS_Store'],
  ['beside the shards', 'sha256/README'],
  ['beside the blobs', 'sha256/ab/notes.txt'],
])('a stray file %s does not hide the blobs from the list', async (_, stray) => {
  await using place = await DiskPlace.open(1_000);
  await place.store.put(digest, bytes, place.books.cached(digest, bytes.length));
  await mkdir(join(place.root, 'blobs', 'sha256', 'ab'), { recursive: true });
  await writeFile(join(place.root, 'blobs', stray), 'stray');
  const listed: string[] = [];
  for await (const blob of place.store.list()) listed.push(blob.digest);
  expect(listed).toEqual([digest]);
});

test('a data directory that cannot be written to is said to be so', async () => {
  await using place = await DiskPlace.open(1_000);
  await rm(join(place.root, 'partial'), { recursive: true });
  await writeFile(join(place.root, 'partial'), 'a file where a directory should be');
  await expect(DiskBlobStore.open(place.root, new Budget(1))).rejects.toThrow();
});
