import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type BlobReader, type BlobStore, type BlobWriter, NoRoom } from '../../src/mirror/ports.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import type { Budget } from '../../src/store/budget.ts';
import type { Books } from '../support/books.ts';

export interface OpenedStore {
  readonly store: BlobStore;
  /** What the store looks things up in. The same after each opening. */
  readonly books: Books;
  /** What the store takes its room from. */
  readonly budget: Budget;
}

/** One storage place under test. `store` and `budget` are those of the latest opening. */
export interface StoragePlace extends OpenedStore, AsyncDisposable {
  /** What a new process finds: another store, and another budget that has counted what is recorded. */
  reopen(): Promise<OpenedStore>;
  /** Bytes that lie there, committed or not, found without asking the store. */
  bytesThere(): Promise<number>;
}

const mebibyte = 1024 * 1024;
const roomy = 64 * mebibyte;

interface Content {
  readonly bytes: Buffer;
  readonly digest: Digest;
}

function contentOf(size: number): Content {
  const bytes = randomBytes(size);
  return { bytes, digest: digestOf(bytes) };
}

/**
 * What every {@link BlobStore} promises, beside a ledger that records what it is told to. After each scenario the budget's
 * figure is the number of bytes that are there.
 */
export function blobStoreContract(name: string, open: (limitBytes: number) => Promise<StoragePlace>): void {
  function scenario(title: string, run: (place: StoragePlace) => Promise<void>, limitBytes = roomy): void {
    test(title, async () => {
      await using place = await open(limitBytes);
      await run(place);
      expect(place.budget.taken).toBe(await place.bytesThere());
      expect((await place.reopen()).budget.taken).toBe(await place.bytesThere());
    });
  }

  describe(`${name}: writing`, () => {
    scenario('a blob is readable under its digest once it is committed, and not before', async (place) => {
      const { store } = place;
      const { bytes, digest } = contentOf(300_000);
      await using writer = await store.begin(digest);
      expect(await writer.reserve(bytes.length)).toBe(true);
      for (const [first, end] of [
        [0, 1],
        [1, 100_000],
        [100_000, 300_000],
      ] as const) {
        await writer.append(bytes.subarray(first, end));
        expect(writer.written).toBe(end);
      }
      expect(await store.open(digest)).toBeUndefined();
      expect(await digestsIn(store)).toEqual([]);
      expect(writer.verify()).toBe(true);
      expect(await store.open(digest)).toBeUndefined();
      await commit(place, writer, digest);
      expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
      expect(await digestsIn(store)).toEqual([digest]);
    });

    scenario('sha512 content is verified as such', async (place) => {
      const { store } = place;
      const bytes = randomBytes(5_000);
      const digest = digestOf(bytes, 'sha512');
      await write(place, { bytes, digest });
      expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('the empty blob is a blob', async (place) => {
      const { store } = place;
      const empty = contentOf(0);
      await write(place, empty);
      expect((await contentIn(store, empty.digest))?.equals(Buffer.alloc(0))).toBe(true);
    });

    scenario('bytes that are not what the digest says leave no file and no reservation', async (place) => {
      const { bytes, digest } = contentOf(10_000);
      await using writer = await place.store.begin(digest);
      expect(await writer.reserve(bytes.length)).toBe(true);
      const wrong = Buffer.from(bytes);
      wrong[9_999] = (wrong[9_999] ?? 0) ^ 1;
      await writer.append(wrong);
      expect(writer.verify()).toBe(false);
      await expect(commit(place, writer, digest)).rejects.toThrow('before it was verified');
      await writer.discard();
      expect(place.budget.taken).toBe(0);
      expect(await place.bytesThere()).toBe(0);
      expect(await place.store.open(digest)).toBeUndefined();
      await using next = await place.store.begin(digest);
      expect(next.kept).toBe(0);
    });

    scenario('a writer that was refuted and is just let go of keeps nothing either', async (place) => {
      const { bytes, digest } = contentOf(10_000);
      {
        await using writer = await place.store.begin(digest);
        await writer.append(bytes.subarray(1));
        expect(writer.verify()).toBe(false);
      }
      expect(await place.bytesThere()).toBe(0);
      expect(place.budget.taken).toBe(0);
    });

    scenario(
      'a blob is committed after it was verified, once, and not at all after it was discarded',
      async (place) => {
        const { bytes, digest } = contentOf(100);
        await using writer = await place.store.begin(digest);
        await writer.append(bytes);
        await expect(commit(place, writer, digest)).rejects.toThrow();
        expect(writer.verify()).toBe(true);
        expect(() => writer.verify()).toThrow();
        await commit(place, writer, digest);
        await expect(commit(place, writer, digest)).rejects.toThrow();
        await expect(writer.append(bytes)).rejects.toThrow();
        await writer.discard();
        expect((await contentIn(place.store, digest))?.equals(bytes)).toBe(true);

        const other = contentOf(100);
        await using discarded = await place.store.begin(other.digest);
        await discarded.append(other.bytes);
        expect(discarded.verify()).toBe(true);
        await discarded.discard();
        await discarded.discard();
        await expect(commit(place, discarded, other.digest)).rejects.toThrow();
        expect(await place.store.open(other.digest)).toBeUndefined();
      },
    );

    scenario('what is written can be read at once, and nothing beyond it', async ({ store }) => {
      const { bytes, digest } = contentOf(1_000);
      await using writer = await store.begin(digest);
      const target = Buffer.alloc(2_000);
      expect(await writer.read(target, 0)).toBe(0);
      await writer.append(bytes.subarray(0, 600));
      expect(await writer.read(target, 0)).toBe(600);
      expect(target.subarray(0, 600)).toEqual(bytes.subarray(0, 600));
      expect(await writer.read(target.subarray(0, 10), 595)).toBe(5);
      expect(await writer.read(target, 600)).toBe(0);
      expect(await writer.read(target, 10_000)).toBe(0);
    });

    scenario('two writers of different digests do not get in each other’s way', async (place) => {
      const { store } = place;
      const contents = Array.from({ length: 10 }, (_, index) => contentOf(20_000 + index));
      await Promise.all(contents.map((content) => write(place, content)));
      for (const { bytes, digest } of contents) expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('a blob that was stored by another way meanwhile is counted once', async (place) => {
      const { store } = place;
      const { bytes, digest } = contentOf(5_000);
      await using writer = await store.begin(digest);
      await writer.append(bytes);
      expect(await put(place, { bytes, digest })).toBe(true);
      expect(writer.verify()).toBe(true);
      await commit(place, writer, digest);
      expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('a commit and a put of one digest at the same moment count it once', async (place) => {
      const { store } = place;
      for (let round = 0; round < 10; round++) {
        const { bytes, digest } = contentOf(round + 1);
        await using writer = await store.begin(digest);
        await writer.append(bytes);
        expect(writer.verify()).toBe(true);
        await Promise.all([commit(place, writer, digest), put(place, { bytes, digest })]);
        expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
      }
    });

    scenario('a commit and a delete of one digest at the same moment give its bytes back once', async (place) => {
      for (let round = 0; round < 10; round++) {
        const { bytes, digest } = contentOf(round + 1);
        await put(place, { bytes, digest });
        await using writer = await place.store.begin(digest);
        await writer.append(bytes);
        expect(writer.verify()).toBe(true);
        await Promise.all([commit(place, writer, digest), remove(place, digest)]);
        expect(place.budget.taken).toBe(await place.bytesThere());
      }
    });
  });

  describe(`${name}: continuing`, () => {
    scenario('a fill that stopped is taken up again where it stopped', async (place) => {
      const { bytes, digest } = contentOf(3 * mebibyte);
      const half = Math.floor(bytes.length / 2);
      await leavePartial(place.store, digest, bytes.subarray(0, half));
      expect(place.budget.taken).toBe(half);
      expect(await digestsIn(place.store)).toEqual([]);

      await using writer = await place.store.begin(digest);
      expect([writer.kept, writer.written]).toEqual([half, 0]);
      expect(await writer.reserve(bytes.length)).toBe(true);
      expect(place.budget.taken).toBe(bytes.length);
      while (await writer.replay()) expect(await writer.read(Buffer.alloc(1), writer.written - 1)).toBe(1);
      expect(writer.written).toBe(half);
      await writer.append(bytes.subarray(half));
      expect(writer.verify()).toBe(true);
      await commit(place, writer, digest);
      expect((await contentIn(place.store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('and so it is by a process that was started since', async (place) => {
      const { bytes, digest } = contentOf(50_000);
      await leavePartial(place.store, digest, bytes.subarray(0, 20_000));
      const { store, budget } = await place.reopen();
      expect(budget.taken).toBe(20_000);
      await using writer = await store.begin(digest);
      expect(writer.kept).toBe(20_000);
      while (await writer.replay());
      await writer.append(bytes.subarray(20_000));
      expect(writer.verify()).toBe(true);
      await commit(place, writer, digest);
      expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
      expect(budget.taken).toBe(50_000);
    });

    scenario('kept bytes that are wrong are found out by the hash, and thrown away', async ({ store }) => {
      const { bytes, digest } = contentOf(1_000);
      await leavePartial(store, digest, Buffer.alloc(500));
      await using writer = await store.begin(digest);
      while (await writer.replay());
      await writer.append(bytes.subarray(500));
      expect(writer.verify()).toBe(false);
      await writer.discard();
      await using next = await store.begin(digest);
      expect(next.kept).toBe(0);
    });

    scenario('kept bytes stay when the one that continues stops before, in or after the replay', async (place) => {
      const { bytes, digest } = contentOf(3 * mebibyte);
      const kept = 2 * mebibyte + 17;
      await leavePartial(place.store, digest, bytes.subarray(0, kept));
      for (const pieces of [0, 1, Infinity]) {
        await using writer = await place.store.begin(digest);
        expect(writer.kept).toBe(kept);
        expect(await writer.reserve(bytes.length)).toBe(true);
        let replayed = 0;
        while (replayed < pieces && (await writer.replay())) replayed++;
        await writer[Symbol.asyncDispose]();
        expect(place.budget.taken).toBe(kept);
      }
    });

    scenario('nothing is appended to, and nothing said of, bytes that were not hashed again', async ({ store }) => {
      const { bytes } = contentOf(1_000);
      // The digest of nothing: what a writer that has hashed nothing would find to be right.
      const { digest } = contentOf(0);
      await leavePartial(store, digest, bytes);
      await using writer = await store.begin(digest);
      await expect(writer.append(bytes)).rejects.toThrow('before replay');
      expect(() => writer.verify()).toThrow('before replay');
    });

    scenario('restart throws away what was kept, and gives it back', async (place) => {
      const { bytes, digest } = contentOf(1_000);
      await leavePartial(place.store, digest, Buffer.alloc(700));
      await using writer = await place.store.begin(digest);
      await writer.restart();
      expect([writer.kept, writer.written, place.budget.taken]).toEqual([0, 0, 0]);
      expect(await writer.replay()).toBe(false);
      expect(await writer.reserve(1_000)).toBe(true);
      await writer.append(bytes);
      expect(writer.verify()).toBe(true);
      await commit(place, writer, digest);
      expect((await contentIn(place.store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('restart with nothing new after it leaves nothing', async (place) => {
      const { digest } = contentOf(1);
      await leavePartial(place.store, digest, Buffer.alloc(700));
      {
        await using writer = await place.store.begin(digest);
        await writer.restart();
      }
      expect(await place.bytesThere()).toBe(0);
    });

    scenario('restart is refused once bytes were hashed', async ({ store }) => {
      const { digest } = contentOf(1);
      await leavePartial(store, digest, Buffer.alloc(700));
      await using writer = await store.begin(digest);
      await writer.replay();
      await expect(writer.restart()).rejects.toThrow();
    });
  });

  describe(`${name}: room`, () => {
    scenario(
      'a blob that does not fit is refused before a byte of it is written, and takes nothing',
      async ({ store, budget }) => {
        await using writer = await store.begin(contentOf(1).digest);
        expect(await writer.reserve(1_001)).toBe(false);
        expect(budget.taken).toBe(0);
        expect(await writer.reserve(1_000)).toBe(true);
        expect(await writer.reserve(1_001)).toBe(false);
        expect(budget.taken).toBe(1_000);
        expect(await writer.reserve(1_000)).toBe(true);
        expect(await writer.reserve(10)).toBe(true);
        expect(budget.taken).toBe(1_000);
        await using other = await store.begin(contentOf(1).digest);
        expect(await other.reserve(1)).toBe(false);
      },
      1_000,
    );

    scenario('what was reserved and not used is given back, by commit, discard and disposal', async (place) => {
      for (const end of ['commit', 'discard', 'dispose'] as const) {
        const { bytes, digest } = contentOf(100);
        const before = place.budget.taken;
        await using writer = await place.store.begin(digest);
        expect(await writer.reserve(50_000)).toBe(true);
        await writer.append(bytes);
        if (end !== 'dispose') expect(writer.verify()).toBe(true);
        await endWith(end, place, { writer, digest });
        expect(place.budget.taken - before).toBe(end === 'discard' ? 0 : 100);
      }
    });

    scenario(
      'of a blob of unknown length room is taken in steps, before the bytes, up to the last that there is',
      async ({ store, budget }) => {
        const piece = Buffer.alloc(mebibyte);
        await using writer = await store.begin(contentOf(1).digest);
        for (let written = 0; written < 20; written++) {
          await writer.append(piece);
          expect(budget.taken).toBeGreaterThanOrEqual(writer.written);
          expect(budget.taken).toBeLessThanOrEqual(budget.limit);
        }
        await expect(writer.append(Buffer.alloc(1))).rejects.toThrow(NoRoom);
        expect(writer.written).toBe(20 * mebibyte);
        expect(await writer.read(piece, 19 * mebibyte)).toBe(mebibyte);
        await writer.discard();
        expect(budget.taken).toBe(0);
      },
      20 * mebibyte,
    );

    scenario(
      'an append that was refused for want of room can be made good once there is room',
      async (place) => {
        const { store } = place;
        const { bytes, digest } = contentOf(900);
        const other = contentOf(500);
        await put(place, other);
        await using writer = await store.begin(digest);
        await writer.append(bytes.subarray(0, 400));
        await expect(writer.append(bytes.subarray(400))).rejects.toThrow(NoRoom);
        await remove(place, other.digest);
        await writer.append(bytes.subarray(400));
        expect(writer.verify()).toBe(true);
        await commit(place, writer, digest);
        expect((await contentIn(store, digest))?.equals(bytes)).toBe(true);
      },
      1_000,
    );

    scenario(
      'many that write at once never get more than the cap between them',
      async (place) => {
        const { store, budget } = place;
        const outcomes = await Promise.all(
          Array.from({ length: 20 }, async (_, index) => {
            const { bytes, digest } = contentOf(1_000 + index);
            if (index % 2 === 0) return put(place, { bytes, digest });
            await using writer = await store.begin(digest);
            if (!(await writer.reserve(bytes.length))) return false;
            await writer.append(bytes);
            expect(budget.taken).toBeLessThanOrEqual(budget.limit);
            expect(writer.verify()).toBe(true);
            await commit(place, writer, digest);
            return true;
          }),
        );
        expect(outcomes.filter(Boolean)).toHaveLength(4);
      },
      5_000,
    );
  });

  describe(`${name}: holding`, () => {
    scenario('a hold keeps bytes readable after commit, also once the blob is deleted', async (place) => {
      const { store } = place;
      const { bytes, digest } = contentOf(1_000);
      const writer = await store.begin(digest);
      await writer.append(bytes);
      await using hold = writer.hold();
      expect(hold).toBeDefined();
      expect(writer.verify()).toBe(true);
      await commit(place, writer, digest);
      expect((await readAll(writer, 1_000)).equals(bytes)).toBe(true);
      await remove(place, digest);
      expect((await readAll(writer, 1_000)).equals(bytes)).toBe(true);
    });

    scenario('a hold keeps bytes readable after discard', async (place) => {
      const { bytes, digest } = contentOf(1_000);
      const writer = await place.store.begin(digest);
      await writer.append(bytes);
      await using hold = writer.hold();
      expect(hold).toBeDefined();
      await writer.discard();
      expect(await place.bytesThere()).toBe(0);
      expect((await readAll(writer, 1_000)).equals(bytes)).toBe(true);
    });

    scenario('a hold keeps bytes readable after disposal, while another goes on with them', async ({ store }) => {
      const { bytes, digest } = contentOf(1_000);
      const writer = await store.begin(digest);
      await writer.append(bytes.subarray(0, 600));
      await using hold = writer.hold();
      expect(hold).toBeDefined();
      await writer[Symbol.asyncDispose]();
      await using next = await store.begin(digest);
      while (await next.replay());
      await next.append(bytes.subarray(600));
      expect((await readAll(writer, 1_000)).equals(bytes.subarray(0, 600))).toBe(true);
    });

    scenario('there is no hold any more when the last one has let go', async (place) => {
      const { store } = place;
      for (const end of ['commit', 'discard', 'dispose'] as const) {
        const { bytes, digest } = contentOf(1_000);
        const writer = await store.begin(digest);
        await writer.append(bytes);
        const [first, second] = [writer.hold(), writer.hold()];
        await first?.[Symbol.asyncDispose]();
        await first?.[Symbol.asyncDispose]();
        if (end === 'commit') expect(writer.verify()).toBe(true);
        await endWith(end, place, { writer, digest });
        const late = writer.hold();
        expect(late).toBeDefined();
        await second?.[Symbol.asyncDispose]();
        expect((await readAll(writer, 1_000)).equals(bytes)).toBe(true);
        await late?.[Symbol.asyncDispose]();
        expect(writer.hold()).toBeUndefined();
        await expect(writer.read(Buffer.alloc(1), 0)).rejects.toThrow();
      }
    });
  });

  describe(`${name}: reading and deleting`, () => {
    scenario('what is not there is undefined, and deleting it is nothing', async (place) => {
      const { store } = place;
      const { digest } = contentOf(10);
      expect(await store.open(digest)).toBeUndefined();
      await remove(place, digest);
    });

    scenario('a reader gives any part, as far as there is any', async (place) => {
      const { store } = place;
      const content = contentOf(1_000);
      await write(place, content);
      await using reader = await store.open(content.digest);
      const target = Buffer.alloc(300);
      expect(reader?.size).toBe(1_000);
      expect(await reader?.read(target, 100)).toBe(300);
      expect(target).toEqual(content.bytes.subarray(100, 400));
      expect(await reader?.read(target, 999)).toBe(1);
      expect(await reader?.read(target, 1_000)).toBe(0);
      expect(await reader?.read(target, 5_000)).toBe(0);
    });

    scenario(
      'a blob deleted while a reader is open stays readable to that reader only, and keeps its room',
      async (place) => {
        const content = contentOf(100_000);
        await write(place, content);
        {
          await using reader = (await place.store.open(content.digest))!;
          await remove(place, content.digest);
          expect(await place.store.open(content.digest)).toBeUndefined();
          expect(place.budget.taken).toBe(100_000);
          expect((await readAll(reader, reader.size)).equals(content.bytes)).toBe(true);
        }
        expect(place.budget.taken).toBe(0);
      },
    );

    scenario('what is put aside is counted until it is dropped, and its place is free for the blob', async (place) => {
      const content = contentOf(1_000);
      await put(place, content);
      await place.store.quarantine(content.digest, place.books.forget(content.digest));
      expect(await place.store.open(content.digest)).toBeUndefined();
      expect(place.budget.taken).toBe(1_000);
      expect(await put(place, content)).toBe(true);
      expect(place.budget.taken).toBe(2_000);
      const [leftover, ...others] = await place.store.leftovers();
      expect(others).toEqual([]);
      expect(leftover).toMatchObject({ kind: 'quarantined', digest: content.digest, size: 1_000 });
      expect(await place.store.drop(leftover!)).toBe(true);
      expect(await place.store.drop(leftover!)).toBe(false);
      expect(place.budget.taken).toBe(1_000);
    });

    scenario('a blob deleted by several at once is given back once', async (place) => {
      const { budget } = place;
      const [gone, stays] = [contentOf(1_000), contentOf(10_000)];
      await put(place, gone);
      await put(place, stays);
      await Promise.all(Array.from({ length: 8 }, () => remove(place, gone.digest)));
      expect(budget.taken).toBe(10_000);
      await remove(place, gone.digest);
      expect(budget.taken).toBe(10_000);
    });

    scenario('a deleted blob can be stored again', async (place) => {
      const { store } = place;
      const content = contentOf(1_000);
      await write(place, content);
      await remove(place, content.digest);
      await write(place, content);
      expect((await contentIn(store, content.digest))?.equals(content.bytes)).toBe(true);
    });

    scenario('the list has every committed blob with its size, and no other', async (place) => {
      const { store } = place;
      const before = Date.now();
      const contents = [contentOf(0), contentOf(10), contentOf(2_000)];
      for (const content of contents) await write(place, content);
      await leavePartial(store, contentOf(1).digest, Buffer.alloc(50));
      const listed = new Map<Digest, number>();
      for await (const { digest, size, storedAt } of store.list()) {
        listed.set(digest, size);
        // A file system may count time in steps of its own.
        expect(storedAt).toBeGreaterThan(before - 2_000);
        expect(storedAt).toBeLessThan(Date.now() + 2_000);
      }
      expect(listed).toEqual(new Map(contents.map(({ digest, bytes }) => [digest, bytes.length])));
    });

    scenario('blobs that are deleted while they are listed do not trouble the list', async (place) => {
      const { store } = place;
      for (let made = 0; made < 15; made++) {
        const content = contentOf(10);
        await put(place, content);
      }
      let seen = 0;
      for await (const { digest } of store.list()) {
        seen++;
        await remove(place, digest);
      }
      expect(seen).toBe(15);
      expect(await digestsIn(store)).toEqual([]);
    });
  });

  describe(`${name}: small things in one go`, () => {
    scenario('what is put is there, and survives a restart', async (place) => {
      const { bytes, digest } = contentOf(500);
      expect(await put(place, { bytes, digest })).toBe(true);
      expect((await contentIn(place.store, digest))?.equals(bytes)).toBe(true);
      expect((await contentIn((await place.reopen()).store, digest))?.equals(bytes)).toBe(true);
    });

    scenario('what is put twice, or by many at once, is counted once', async (place) => {
      const { budget } = place;
      const { bytes, digest } = contentOf(500);
      const answers = await Promise.all(Array.from({ length: 8 }, () => put(place, { bytes, digest })));
      expect(answers).toEqual(Array(8).fill(true));
      expect(await put(place, { bytes, digest })).toBe(true);
      expect(budget.taken).toBe(500);
    });

    scenario('bytes that are not what the digest says are refused, and leave nothing', async (place) => {
      const { digest } = contentOf(500);
      await expect(put(place, { digest, bytes: Buffer.alloc(500) })).rejects.toThrow(digest);
      expect(await place.bytesThere()).toBe(0);
      expect(await place.store.open(digest)).toBeUndefined();
    });

    scenario('wrong bytes get no answer that right ones have earned, and spoil none', async (place) => {
      const { bytes, digest } = contentOf(500);
      for (const order of ['right first', 'wrong first']) {
        const right = () => put(place, { bytes, digest });
        const wrong = () => put(place, { digest, bytes: Buffer.alloc(500) });
        const outcomes = await Promise.allSettled(order === 'right first' ? [right(), wrong()] : [wrong(), right()]);
        expect(outcomes.map(({ status }) => status)).toEqual(
          order === 'right first' ? ['fulfilled', 'rejected'] : ['rejected', 'fulfilled'],
        );
        await remove(place, digest);
      }
    });

    scenario(
      'what does not fit is not put, and takes nothing',
      async (place) => {
        const { budget } = place;
        const content = contentOf(1_001);
        expect(await put(place, content)).toBe(false);
        expect(budget.taken).toBe(0);
        const fitting = contentOf(1_000);
        expect(await put(place, fitting)).toBe(true);
        // It is there already: that takes no further room.
        expect(await put(place, fitting)).toBe(true);
      },
      1_000,
    );
  });
}

async function write(place: StoragePlace, { bytes, digest }: Content): Promise<void> {
  await using writer = await place.store.begin(digest);
  expect(await writer.reserve(bytes.length)).toBe(true);
  await writer.append(bytes);
  expect(writer.verify()).toBe(true);
  await commit(place, writer, digest);
}

function put({ store, books }: StoragePlace, { bytes, digest }: Content): Promise<boolean> {
  return store.put(digest, bytes, books.cached(digest, bytes.length));
}

function commit({ books }: OpenedStore, writer: BlobWriter, digest: Digest): Promise<void> {
  return writer.commit(books.cached(digest, writer.written));
}

async function endWith(
  end: 'commit' | 'discard' | 'dispose',
  place: StoragePlace,
  { writer, digest }: { readonly writer: BlobWriter; readonly digest: Digest },
): Promise<void> {
  if (end === 'commit') return commit(place, writer, digest);
  await (end === 'dispose' ? writer[Symbol.asyncDispose]() : writer.discard());
}

/** As the ledger's callers do: forgotten first, then cleared away. */
function remove({ store, books }: StoragePlace, digest: Digest): Promise<void> {
  return store.delete(digest, books.forget(digest));
}

async function leavePartial(store: BlobStore, digest: Digest, bytes: Uint8Array): Promise<void> {
  await using writer = await store.begin(digest);
  await writer.append(bytes);
}

async function digestsIn(store: BlobStore): Promise<Digest[]> {
  const digests: Digest[] = [];
  for await (const { digest } of store.list()) digests.push(digest);
  return digests;
}

async function contentIn(store: BlobStore, digest: Digest): Promise<Buffer | undefined> {
  await using reader = await store.open(digest);
  return reader && (await readAll(reader, reader.size));
}

async function readAll(reader: BlobReader | BlobWriter, size: number): Promise<Buffer> {
  // One byte more than there should be, to see that there is none.
  const bytes = Buffer.alloc(size + 1);
  let filled = 0;
  for (;;) {
    const count = await reader.read(bytes.subarray(filled), filled);
    if (count === 0) return bytes.subarray(0, filled);
    filled += count;
  }
}
