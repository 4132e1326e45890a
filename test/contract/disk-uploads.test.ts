import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NoRoom } from '../../src/mirror/ports.ts';
import { type Digest, type DigestAlgorithm, digestOf } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/repository-name.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { DiskUploads } from '../../src/store/disk-uploads.ts';
import { Layout } from '../../src/store/layout.ts';
import { Books } from '../support/books.ts';
import { repositoryNamed } from './words.ts';

const app = repositoryNamed('hosted/local/app').name;
const other = repositoryNamed('hosted/local/other').name;
const bytes = Buffer.from('what a client pushes, in pieces');
const digest = digestOf(bytes);

class Place implements AsyncDisposable {
  readonly layout: Layout;
  readonly books = new Books();
  store!: DiskBlobStore;
  uploads!: DiskUploads;

  private constructor(layout: Layout) {
    this.layout = layout;
  }

  static async open(): Promise<Place> {
    const place = new Place(new Layout(await mkdtemp(join(tmpdir(), 'entrepot-uploads-'))));
    await place.restart();
    return place;
  }

  /** What a new process finds. */
  async restart(): Promise<void> {
    this.store = await DiskBlobStore.open(this.layout.root, new Budget(10_000_000), { minFree: 0 });
    this.store.lookUp = this.books.lookUp;
    this.uploads = await DiskUploads.open(this.layout, this.store);
  }

  async begin(algorithm: DigestAlgorithm = 'sha256', repository: RepositoryName = app): Promise<string> {
    return (await this.uploads.begin(repository, algorithm)).id;
  }

  async upload(id: string, repository: RepositoryName = app) {
    const upload = await this.uploads.find(repository, id);
    if (upload === undefined) throw new Error('there is no such upload');
    return upload;
  }

  async append(id: string, piece: Uint8Array, at?: { readonly first: number; readonly end: number }) {
    return (await this.upload(id)).append(from(piece), at);
  }

  async complete(id: string, wanted: Digest = digest): Promise<boolean> {
    return (await this.upload(id)).complete(wanted, (size) => this.books.hosted(wanted, size)());
  }

  async stored(wanted: Digest = digest): Promise<Buffer | undefined> {
    await using reader = await this.store.open(wanted);
    if (reader === undefined) return undefined;
    const target = Buffer.alloc(reader.size + 1);
    return target.subarray(0, await reader.read(target, 0));
  }

  files(): Promise<string[]> {
    return readdir(this.layout.uploads);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.layout.root, { recursive: true, force: true });
  }
}

async function* from(...pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(piece);
}

/** A source that gives a piece, says so, and then waits for good. */
function stuckAfter(piece: Uint8Array) {
  let reached!: () => void;
  const isWaiting = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const source = (async function* () {
    yield await Promise.resolve(piece);
    reached();
    await new Promise<never>(() => undefined);
  })();
  return { source, isWaiting };
}

test('what comes in pieces becomes the blob that its digest says, hosted and not counted', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  expect((await place.upload(id)).size).toBe(0);
  expect(await place.append(id, bytes.subarray(0, 10))).toEqual({ ok: true, size: 10 });
  expect((await place.upload(id)).size).toBe(10);
  expect(await place.append(id, bytes.subarray(10))).toEqual({ ok: true, size: bytes.length });
  expect(await place.stored()).toBeUndefined();
  expect(await place.complete(id)).toBe(true);
  expect(await place.stored()).toEqual(bytes);
  expect(await place.books.lookUp(digest)).toEqual({ size: bytes.length, isHosted: true });
  expect(place.store.room.budget.taken).toBe(0);
  expect(await place.uploads.find(app, id)).toBeUndefined();
  expect(await place.files()).toEqual([]);
});

test('a chunk in its place is taken, no byte of it beyond its end, and one out of order is not', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  expect(await place.append(id, bytes.subarray(0, 10), { first: 0, end: 10 })).toEqual({ ok: true, size: 10 });
  for (const first of [0, 9, 11]) {
    expect(await place.append(id, bytes.subarray(0, 5), { first, end: first + 5 })).toEqual({ ok: false, size: 10 });
  }
  expect(await place.append(id, bytes.subarray(10), { first: 10, end: 15 })).toEqual({ ok: true, size: 15 });
  expect(await place.append(id, bytes.subarray(15), { first: 15, end: bytes.length })).toMatchObject({ ok: true });
  expect(await place.complete(id)).toBe(true);
});

test('one who comes anew cuts off the one who is still sending, and goes on where that stood', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  const { source, isWaiting } = stuckAfter(bytes.subarray(0, 12));
  const first = (await place.upload(id)).append(source);
  await isWaiting;
  const second = place.append(id, bytes.subarray(12), { first: 12, end: bytes.length });
  expect(await first).toEqual({ ok: false, size: 12 });
  expect(await second).toEqual({ ok: true, size: bytes.length });
  expect(await place.complete(id)).toBe(true);
  expect(await place.stored()).toEqual(bytes);
});

test('one who cancels does not wait for the one who is still sending', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  const { source, isWaiting } = stuckAfter(bytes);
  const sending = (await place.upload(id)).append(source);
  await isWaiting;
  await (await place.upload(id)).cancel();
  await sending;
  expect(await place.uploads.find(app, id)).toBeUndefined();
  expect(await place.files()).toEqual([]);
});

test('what arrived before a source breaks stays, and its hash with it', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  const broken = (async function* () {
    yield* from(bytes.subarray(0, 7), bytes.subarray(7, 20));
    throw new Error('connection reset');
  })();
  await expect((await place.upload(id)).append(broken)).rejects.toThrow('connection reset');
  expect((await place.upload(id)).size).toBe(20);
  await place.append(id, bytes.subarray(20));
  expect(await place.complete(id)).toBe(true);
});

test('bytes that are not what the digest says end the upload, and leave nothing', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  await place.append(id, bytes.subarray(1));
  expect(await place.complete(id)).toBe(false);
  expect(await place.stored()).toBeUndefined();
  expect(await place.books.lookUp(digest)).toBeUndefined();
  expect(await place.uploads.find(app, id)).toBeUndefined();
  expect(await place.files()).toEqual([]);
});

test('an upload that the ledger cannot record is still there, for the client to complete again', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  await place.append(id, bytes);
  const failing = (await place.upload(id)).complete(digest, () => Promise.reject(new Error('no ledger')));
  await expect(failing).rejects.toThrow('no ledger');
  expect(await place.stored()).toBeUndefined();
  expect(await place.complete(id)).toBe(true);
  expect(await place.stored()).toEqual(bytes);
});

test.each([
  ['sha512', 'sha512'],
  ['sha256', 'sha512'],
  ['sha512', 'sha256'],
] as const)('an upload begun for %s can be completed as %s', async (begun, completed) => {
  await using place = await Place.open();
  const wanted = digestOf(bytes, completed);
  const id = await place.begin(begun);
  await place.append(id, bytes);
  expect(await place.complete(id, wanted)).toBe(true);
  expect(await place.stored(wanted)).toEqual(bytes);
});

test.each(['sha256', 'sha512'] as const)('a restart costs an upload of %s nothing', async (algorithm) => {
  await using place = await Place.open();
  const wanted = digestOf(bytes, algorithm);
  const id = await place.begin(algorithm);
  await place.append(id, bytes.subarray(0, 9));
  await place.restart();
  expect((await place.upload(id)).size).toBe(9);
  expect(await place.append(id, bytes.subarray(9), { first: 9, end: bytes.length })).toMatchObject({ ok: true });
  await place.restart();
  expect(await place.complete(id, wanted)).toBe(true);
  expect(await place.stored(wanted)).toEqual(bytes);
});

test('the empty upload is the empty blob', async () => {
  await using place = await Place.open();
  const empty = digestOf(Buffer.alloc(0));
  expect(await place.complete(await place.begin(), empty)).toBe(true);
  expect(await place.stored(empty)).toEqual(Buffer.alloc(0));
});

test('those that got no byte for long are thrown away, and no other', async () => {
  await using place = await Place.open();
  const old = await place.begin();
  expect(await place.uploads.expire(0)).toBe(0);
  const sent = await place.begin();
  const { source, isWaiting } = stuckAfter(bytes);
  const sending = (await place.upload(sent)).append(source);
  await isWaiting;
  expect(await place.uploads.expire(Date.now() + 60_000)).toBe(1);
  expect(await place.uploads.find(app, old)).toBeUndefined();
  expect((await place.upload(sent)).size).toBe(bytes.length);
  await (await place.upload(sent)).cancel();
  await sending;
});

test('an id is good for its repository only, also after a restart', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  expect(await place.uploads.find(other, id)).toBeUndefined();
  await place.restart();
  expect(await place.uploads.find(other, id)).toBeUndefined();
  expect(await place.uploads.find(app, id)).toBeDefined();
});

test.each(['', '.', '..', '../blobs', 'x/y', '9C5B94B1-35AD-49BB-B118-8E8FC24ABF80', 'a'.repeat(5_000), '\0'])(
  'the id %j is none',
  async (id) => {
    await using place = await Place.open();
    expect(await place.uploads.find(app, id)).toBeUndefined();
  },
);

test('what the disk has no room for ends the upload with the reason, and leaves no byte', async () => {
  await using place = await Place.open();
  const id = await place.begin();
  await place.append(id, bytes.subarray(0, 5));
  await place.store.leaveFree(Number.MAX_SAFE_INTEGER);
  await expect(place.append(id, bytes.subarray(5))).rejects.toThrow(NoRoom);
  expect(await place.uploads.find(app, id)).toBeUndefined();
  expect(await place.files()).toEqual([]);
  await expect(place.begin()).rejects.toThrow(NoRoom);
  expect(await place.files()).toEqual([]);
});
