import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type BlobWriter, NoRoom } from '../../src/mirror/ports.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Books } from '../support/books.ts';

/** Bytes; no two of the larger contents fit at once. */
const capBytes = 100;
const contents = [0, 10, 30, 60, 70].map((size) => {
  const bytes = Buffer.alloc(size, `content of ${size} bytes `);
  return { bytes, size, digest: digestOf(bytes) };
});
type Content = (typeof contents)[number];

/** What should be so. */
class Model {
  readonly committed = new Set<Content>();
  /** Bytes on disk that are not committed. */
  readonly partial = new Map<Content, number>();
  /** Room taken by the writers at work. */
  readonly taken = new Map<Content, number>();

  get total(): number {
    let total = 0;
    for (const { size } of this.committed) total += size;
    for (const content of contents) total += this.taken.get(content) ?? this.partial.get(content) ?? 0;
    return total;
  }

  get onDisk(): number {
    let total = 0;
    for (const { size } of this.committed) total += size;
    for (const bytes of this.partial.values()) total += bytes;
    return total;
  }

  fits(bytes: number): boolean {
    return this.total + bytes <= capBytes;
  }
}

/** What is so. */
class Real {
  readonly root: string;
  budget = new Budget(capBytes);
  store!: DiskBlobStore;
  readonly books = new Books();
  readonly writers = new Map<Content, BlobWriter>();

  constructor(root: string) {
    this.root = root;
  }

  async open(): Promise<void> {
    this.budget = new Budget(capBytes);
    this.store = await DiskBlobStore.open(this.root, this.budget);
    this.store.lookUp = this.books.lookUp;
    this.budget.count(this.books.counted);
  }

  writer(content: Content): BlobWriter {
    const writer = this.writers.get(content);
    if (writer === undefined) throw new Error('no writer');
    return writer;
  }

  async bytesThere(): Promise<number> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}

type Step = (model: Model, real: Real) => Promise<void> | void;

/** A step that is possible when `check` says so, after which the books must balance. */
function command(name: string, check: (model: Model) => boolean, step: Step): fc.AsyncCommand<Model, Real> {
  return {
    check,
    run: async (model, real) => {
      await step(model, real);
      expect(real.budget.taken).toBe(model.total);
      expect(real.budget.taken).toBeLessThanOrEqual(capBytes);
      expect(await real.bytesThere()).toBe(model.onDisk);
    },
    toString: () => name,
  };
}

const content = fc.constantFrom(...contents);
const isWriting = (content: Content) => (model: Model) => model.taken.has(content);

function endOfWriter(content: Content, stays: (model: Model) => number) {
  return (model: Model, real: Real) => {
    const bytes = stays(model);
    if (bytes === 0) model.partial.delete(content);
    else model.partial.set(content, bytes);
    model.taken.delete(content);
    real.writers.delete(content);
  };
}

const commands = [
  content.map((content) =>
    command(
      `begin ${content.size}`,
      (model) => !model.taken.has(content),
      async (model, real) => {
        const writer = await real.store.begin(content.digest);
        expect(writer.kept).toBe(model.partial.get(content) ?? 0);
        while (await writer.replay());
        real.writers.set(content, writer);
        model.taken.set(content, writer.kept);
        model.partial.set(content, writer.kept);
      },
    ),
  ),
  content.map((content) =>
    command(`reserve ${content.size}`, isWriting(content), async (model, real) => {
      const missing = Math.max(0, content.size - (model.taken.get(content) ?? 0));
      const fits = model.fits(missing);
      expect(await real.writer(content).reserve(content.size)).toBe(fits);
      if (fits) model.taken.set(content, (model.taken.get(content) ?? 0) + missing);
    }),
  ),
  fc.tuple(content, fc.integer({ min: 1, max: 40 })).map(([content, wish]) =>
    command(`append ${wish} of ${content.size}`, isWriting(content), async (model, real) => {
      const written = model.partial.get(content) ?? 0;
      const end = Math.min(content.size, written + wish);
      const taken = model.taken.get(content) ?? 0;
      const append = real.writer(content).append(content.bytes.subarray(written, end));
      if (!model.fits(Math.max(0, end - taken))) return expect(append).rejects.toThrow(NoRoom);
      await append;
      model.taken.set(content, Math.max(taken, end));
      model.partial.set(content, end);
    }),
  ),
  content.map((content) =>
    command(`finish ${content.size}`, isWriting(content), async (model, real) => {
      const writer = real.writer(content);
      const isWhole = model.partial.get(content) === content.size;
      expect(writer.verify()).toBe(isWhole);
      if (isWhole) {
        await writer.commit(real.books.cached(content.digest, content.size));
        model.committed.add(content);
      } else {
        await writer.discard();
      }
      endOfWriter(content, () => 0)(model, real);
    }),
  ),
  content.map((content) =>
    command(`leave ${content.size}`, isWriting(content), async (model, real) => {
      await real.writer(content)[Symbol.asyncDispose]();
      endOfWriter(content, () => model.partial.get(content) ?? 0)(model, real);
    }),
  ),
  content.map((content) =>
    command(`discard ${content.size}`, isWriting(content), async (model, real) => {
      await real.writer(content).discard();
      endOfWriter(content, () => 0)(model, real);
    }),
  ),
  content.map((content) =>
    command(
      `put ${content.size}`,
      () => true,
      async (model, real) => {
        const fits = model.committed.has(content) || model.fits(content.size);
        const record = real.books.cached(content.digest, content.size);
        expect(await real.store.put(content.digest, content.bytes, record)).toBe(fits);
        if (fits) model.committed.add(content);
      },
    ),
  ),
  content.map((content) =>
    command(
      `delete ${content.size}`,
      () => true,
      async (model, real) => {
        const { store, books } = real;
        const remove = () => store.delete(content.digest, books.forget(content.digest));
        await Promise.all([remove(), remove()]);
        model.committed.delete(content);
      },
    ),
  ),
  content.map((content) =>
    command(
      `read ${content.size}`,
      () => true,
      async (model, real) => {
        await using reader = await real.store.open(content.digest);
        expect(reader?.size).toBe(model.committed.has(content) ? content.size : undefined);
        const target = Buffer.alloc(capBytes);
        if (reader !== undefined) expect(await reader.read(target, 0)).toBe(content.size);
        if (reader !== undefined) expect(target.subarray(0, content.size)).toEqual(content.bytes);
      },
    ),
  ),
  fc.constant(
    command(
      'restart',
      (model) => model.taken.size === 0,
      async (_, real) => {
        await real.open();
      },
    ),
  ),
];

test('whatever is begun, left, taken up, stored and deleted in whatever order: the cap holds and the books balance', async () => {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), async (steps) => {
      const root = await mkdtemp(join(tmpdir(), 'entrepot-model-'));
      const real = new Real(root);
      try {
        await real.open();
        await fc.asyncModelRun(() => ({ model: new Model(), real }), steps);
      } finally {
        for (const writer of real.writers.values()) await writer[Symbol.asyncDispose]();
        await rm(root, { recursive: true, force: true });
      }
    }),
    { numRuns: 80 },
  );
});
