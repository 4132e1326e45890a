import { mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NoRoom } from '../../src/mirror/ports.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Layout } from '../../src/store/layout.ts';
import { Books } from '../support/books.ts';

const bytes = Buffer.alloc(1_000, 'hosted content ');
const digest = digestOf(bytes);
const size = bytes.length;

class Place implements AsyncDisposable {
  readonly layout: Layout;
  readonly books = new Books();
  readonly budget: Budget;
  readonly store: DiskBlobStore;

  private constructor(layout: Layout, store: DiskBlobStore) {
    this.layout = layout;
    this.store = store;
    this.budget = store.room.budget;
    store.lookUp = this.books.lookUp;
  }

  static async open(limitBytes: number): Promise<Place> {
    const root = await mkdtemp(join(tmpdir(), 'entrepot-hosted-'));
    return new Place(new Layout(root), await DiskBlobStore.open(root, new Budget(limitBytes), { minFree: 0 }));
  }

  cache(): Promise<boolean> {
    return this.store.put(digest, bytes, this.books.cached(digest, size));
  }

  host(): Promise<void> {
    return this.store.host(digest, bytes, this.books.hosted(digest, size));
  }

  mount(): Promise<boolean> {
    return this.store.mount(digest, this.books.hosted(digest, size));
  }

  unhost(outcome: 'gone' | 'cached' | 'hosted'): Promise<string> {
    return this.store.unhost(digest, size, (hasRoom) => this.books.unhost(digest, outcome, hasRoom));
  }

  /** A file that no ledger knows. */
  async leaveStray(content: Uint8Array): Promise<void> {
    await mkdir(dirname(this.layout.blob(digest)), { recursive: true });
    await writeFile(this.layout.blob(digest), content);
  }

  async read(wanted: Digest = digest): Promise<Buffer | undefined> {
    await using reader = await this.store.open(wanted);
    if (reader === undefined) return undefined;
    const target = Buffer.alloc(reader.size + 1);
    return target.subarray(0, await reader.read(target, 0));
  }

  async fileBytes(): Promise<number> {
    const entries = await readdir(this.layout.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.layout.root, { recursive: true, force: true });
  }
}

/** After each the budget's figure is that of the counted files, no bytes are promised, and nothing lies about. */
function scenario(title: string, run: (place: Place) => Promise<void>, limitBytes = 10_000): void {
  test(title, async () => {
    await using place = await Place.open(limitBytes);
    await run(place);
    expect(place.budget.promised).toBe(0);
    expect(place.budget.taken).toBe((await place.fileBytes()) - place.books.hostedBytes);
    expect(await readdir(place.layout.incoming)).toEqual([]);
  });
}

describe('hosting', () => {
  scenario('what is new is there, and no cap counts it', async (place) => {
    await place.host();
    expect(await place.read()).toEqual(bytes);
    expect(place.budget.taken).toBe(0);
  });

  scenario('what is pushed again takes the place of what has rotted since', async (place) => {
    await place.host();
    await writeFile(place.layout.blob(digest), Buffer.alloc(size, 'rot'));
    await place.host();
    expect(await place.read()).toEqual(bytes);
  });

  scenario('what is larger than the cap is hosted all the same', (place) => place.host(), size - 1);

  scenario('what is hosted already stays as it is', async (place) => {
    await place.host();
    await Promise.all(Array.from({ length: 5 }, () => place.host()));
    expect(await place.read()).toEqual(bytes);
  });

  scenario('what is cached counts no longer', async (place) => {
    await place.cache();
    expect(place.budget.taken).toBe(size);
    await place.host();
    expect(place.budget.taken).toBe(0);
  });

  scenario('a stray file in its place is written over, not relied on', async (place) => {
    await place.leaveStray(Buffer.alloc(size, 'x'));
    await place.host();
    expect(await place.read()).toEqual(bytes);
  });

  for (const [state, spoil] of [
    ['gone', (path: string) => rm(path)],
    ['too short', (path: string) => truncate(path, 10)],
  ] as const) {
    scenario(`what is recorded as cached, and is ${state}, is stored anew`, async (place) => {
      await place.cache();
      await spoil(place.layout.blob(digest));
      await place.host();
      expect(await place.read()).toEqual(bytes);
      expect(place.budget.taken).toBe(0);
    });

    scenario(`what is recorded as hosted, and is ${state}, is stored anew`, async (place) => {
      await place.host();
      await spoil(place.layout.blob(digest));
      await place.host();
      expect(await place.read()).toEqual(bytes);
    });
  }

  scenario('what cannot be recorded is not there', async (place) => {
    await expect(place.store.host(digest, bytes, () => Promise.reject(new Error('no ledger')))).rejects.toThrow(
      'no ledger',
    );
    expect(await place.read()).toBeUndefined();
  });

  scenario('what cannot be recorded as hosted stays cached', async (place) => {
    await place.cache();
    await expect(place.store.host(digest, bytes, () => Promise.reject(new Error('no ledger')))).rejects.toThrow();
    expect(await place.read()).toEqual(bytes);
    expect(place.budget.taken).toBe(size);
  });

  scenario('bytes that are not what the digest says are refused', async (place) => {
    await expect(place.store.host(digest, bytes.subarray(1), place.books.hosted(digest, size))).rejects.toThrow(digest);
    expect(await place.read()).toBeUndefined();
  });

  scenario('what the disk has no room for, beside what is left for others, is not hosted', async (place) => {
    await place.store.leaveFree(Number.MAX_SAFE_INTEGER);
    await expect(place.host()).rejects.toThrow(NoRoom);
    expect(await place.read()).toBeUndefined();
  });
});

describe('mounting', () => {
  scenario('what is cached gives its room back', async (place) => {
    await place.cache();
    expect(await place.mount()).toBe(true);
    expect(place.budget.taken).toBe(0);
    expect(await place.read()).toEqual(bytes);
  });

  scenario('what is hosted stays so', async (place) => {
    await place.host();
    expect(await place.mount()).toBe(true);
  });

  for (const [state, prepare] of [
    ['was never there', () => Promise.resolve()],
    ['is a stray file', (place: Place) => place.leaveStray(bytes)],
  ] as const) {
    test(`what ${state} is not mounted, and nothing is recorded`, async () => {
      await using place = await Place.open(10_000);
      await prepare(place);
      expect(await place.mount()).toBe(false);
      expect(await place.books.lookUp(digest)).toBeUndefined();
      expect(place.budget.taken).toBe(0);
    });
  }

  test('a file that is too short is not mounted, and is cached as before', async () => {
    await using place = await Place.open(10_000);
    await place.cache();
    await truncate(place.layout.blob(digest), 10);
    expect(await place.mount()).toBe(false);
    expect(await place.books.lookUp(digest)).toEqual({ size, isHosted: false });
    expect(place.budget.taken).toBe(size);
  });

  scenario('what cannot be recorded stays cached', async (place) => {
    await place.cache();
    await expect(place.store.mount(digest, () => Promise.reject(new Error('no ledger')))).rejects.toThrow();
    expect(place.budget.taken).toBe(size);
  });
});

describe('taking back', () => {
  scenario('what is gone gives its bytes', async (place) => {
    await place.host();
    expect(await place.unhost('gone')).toBe('gone');
    expect(await place.read()).toBeUndefined();
    expect(place.budget.taken).toBe(0);
  });

  scenario('what becomes part of the cache counts', async (place) => {
    await place.host();
    expect(await place.unhost('cached')).toBe('cached');
    expect(place.budget.taken).toBe(size);
    expect(await place.read()).toEqual(bytes);
  });

  scenario('what stays hosted counts as little as before', async (place) => {
    await place.host();
    expect(await place.unhost('hosted')).toBe('hosted');
    expect(place.budget.taken).toBe(0);
    expect(await place.read()).toEqual(bytes);
  });

  scenario(
    'what the cache needs stays hosted while it has no room for it, and what goes needs none',
    async (place) => {
      await place.host();
      const other = Buffer.alloc(500, 'other');
      await place.store.put(digestOf(other), other, place.books.cached(digestOf(other), other.length));
      expect(await place.unhost('cached')).toBe('needs room');
      expect(await place.books.lookUp(digest)).toEqual({ size, isHosted: true });
      expect(await place.unhost('gone')).toBe('gone');
      expect(await place.read(digestOf(other))).toEqual(other);
    },
    size,
  );

  scenario('a decision that fails changes nothing', async (place) => {
    await place.host();
    await expect(place.store.unhost(digest, size, () => Promise.reject(new Error('no ledger')))).rejects.toThrow();
    expect(await place.read()).toEqual(bytes);
    expect(place.budget.taken).toBe(0);
  });
});

describe('races', () => {
  for (const [what, clear] of [
    ['delete', (place: Place, counted: number) => place.store.delete(digest, counted)],
    ['quarantine', (place: Place, counted: number) => place.store.quarantine(digest, counted)],
  ] as const) {
    for (const order of ['before', 'after'] as const) {
      scenario(`a ${what} that comes ${order} somebody hosts the same costs nothing that is hosted`, async (place) => {
        await place.cache();
        const counted = place.books.forget(digest);
        const tasks = [() => clear(place, counted), () => place.host()];
        await Promise.all((order === 'before' ? tasks : tasks.toReversed()).map((task) => task()));
        expect(await place.read()).toEqual(bytes);
        expect(await place.books.lookUp(digest)).toEqual({ size, isHosted: true });
        for (const leftover of await place.store.leftovers()) await place.store.drop(leftover);
        expect(place.budget.taken).toBe(0);
      });
    }
  }

  scenario('a fill whose blob was hosted meanwhile leaves it hosted, and counts nothing', async (place) => {
    await using writer = await place.store.begin(digest);
    expect(await writer.reserve(size)).toBe(true);
    await writer.append(bytes);
    expect(writer.verify()).toBe(true);
    await place.host();
    await writer.commit(place.books.cached(digest, size));
    expect(place.budget.taken).toBe(0);
    expect(await place.books.lookUp(digest)).toEqual({ size, isHosted: true });
    expect(await place.read()).toEqual(bytes);
  });

  scenario('a fill that lands as hosted, for a repository here holds it, counts nothing', async (place) => {
    await using writer = await place.store.begin(digest);
    await writer.append(bytes);
    expect(writer.verify()).toBe(true);
    await writer.commit(place.books.hosted(digest, size));
    expect(place.budget.taken).toBe(0);
  });

  scenario('a fill whose file cannot be recorded is kept, counted, for the next one', async (place) => {
    {
      await using writer = await place.store.begin(digest);
      await writer.append(bytes);
      expect(writer.verify()).toBe(true);
      await expect(writer.commit(() => Promise.reject(new Error('no ledger')))).rejects.toThrow('no ledger');
      expect(await place.read()).toBeUndefined();
    }
    expect(place.budget.taken).toBe(size);
    await using next = await place.store.begin(digest);
    expect(next.kept).toBe(size);
  });

  scenario('hosted content that is damaged counts in quarantine, until room is needed', async (place) => {
    await place.host();
    expect(place.books.forget(digest)).toBe(0);
    await place.store.quarantine(digest, 0);
    expect(place.budget.taken).toBe(size);
    expect(await place.store.leftovers()).toMatchObject([{ kind: 'quarantined', digest }]);
  });

  scenario(
    'hosted content that is damaged goes at once where the cap has no room for it',
    async (place) => {
      await place.host();
      place.books.forget(digest);
      await place.store.quarantine(digest, 0);
      expect(place.budget.taken).toBe(0);
      expect(await place.fileBytes()).toBe(0);
    },
    size - 1,
  );

  scenario('puts, hosts, mounts and deletes of one digest all at once leave the books right', async (place) => {
    for (let round = 0; round < 20; round++) {
      await Promise.all([
        place.cache(),
        place.host(),
        place.mount(),
        place.store.delete(digest, place.books.forget(digest)),
        place.unhost(round % 2 === 0 ? 'cached' : 'gone'),
      ]);
      const row = await place.books.lookUp(digest);
      expect(row === undefined ? undefined : await place.read()).toEqual(row && bytes);
      expect(place.budget.taken).toBe(place.books.counted);
      await place.store.delete(digest, place.books.forget(digest));
    }
  });
});
