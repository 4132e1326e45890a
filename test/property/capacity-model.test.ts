import { cpSync, existsSync, rmSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { BlobReader, BlobStore, Ledger, Unreferenced } from '../../src/mirror/ports.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Evictor } from '../../src/store/evictor.ts';
import { reconcile } from '../../src/store/reconcile.ts';
import { repositoryNamed, tagNamed } from '../contract/words.ts';

/** Bytes: room for some three images. */
const capBytes = 400;
const repository = repositoryNamed('docker.io/library/app');
const mediaType = 'application/vnd.oci.image.manifest.v1+json';

interface Content {
  readonly name: string;
  readonly bytes: Buffer;
  readonly digest: Digest;
}

interface Image extends Content {
  /** Of an index, its images. */
  readonly images: readonly Image[];
  readonly layers: readonly Content[];
}

function contentOf(name: string, size: number): Content {
  const bytes = Buffer.alloc(size, `${name}|`);
  return { name, bytes, digest: digestOf(bytes) };
}

function imageOf(name: string, layers: readonly Content[], images: readonly Image[] = []): Image {
  return { ...contentOf(name, 12), layers, images };
}

const layers = [90, 40, 70, 20, 60, 110, 30, 50].map((size, place) => contentOf(`layer ${place}`, size));
const layer = (...places: readonly number[]) => places.map((place) => layers[place]!);
const children = [imageOf('amd64', layer(0, 2)), imageOf('arm64', layer(0, 3))];
const images = [
  ...children,
  imageOf('index', [], children),
  imageOf('a', layer(0, 1)),
  imageOf('b', layer(0, 4)),
  imageOf('c', layer(5)),
  imageOf('d', layer(5, 6, 7)),
  imageOf('e', layer(1, 2, 3)),
  imageOf('too large', layer(0, 2, 4, 5, 7)),
];

/** What kill -9 does, as far as the code at that place can tell. */
class Crash extends Error {}

/** What should be so. */
class Model {
  now = 1;
  readonly usedAt = new Map<Image, number>();
  /** The same before the step under way: what goes in it may go before it is used. */
  usedBefore: ReadonlyMap<Image, number> = new Map();
  readonly pinned = new Set<Image>();
  /** Stored layers that an image refers to must stay for as long as it does. */
  stored: ReadonlySet<Digest> = new Set();
  there: ReadonlySet<Image> = new Set();
}

/** What is so. */
class Real {
  root: string;
  budget!: Budget;
  store!: DiskBlobStore;
  ledger!: SqliteLedger;
  evictor!: Evictor;
  readonly readers = new Map<Digest, BlobReader>();
  /** In the step under way. */
  readonly evicted = new Set<Digest>();
  readonly #model: Model;
  /** Of what goes when nobody waits for it. */
  failure: unknown;
  /** So many more moments at which a crash can come, until it does. */
  crashIn = Number.POSITIVE_INFINITY;

  constructor(root: string, model: Model) {
    this.root = root;
    this.#model = model;
  }

  async open(mayHaveStrays: boolean): Promise<void> {
    this.budget = new Budget(capBytes);
    this.store = await DiskBlobStore.open(this.root, this.budget, { minFree: 0, mayHaveStrays });
    this.ledger = new SqliteLedger(join(this.root, 'ledger.db'));
    const { ledger } = this;
    this.store.lookUp = (digest) => ledger.blob(digest);
    this.budget.count((await ledger.totals()).bytes);
    const isPinned = ({ digest }: Pick<Unreferenced, 'digest'>) =>
      [...this.#model.pinned].some((image) => image.digest === digest);
    this.evictor = new Evictor({
      store: this.#fragile(this.store),
      ledger: this.#witnessed(this.ledger),
      budget: this.budget,
      isPinned,
      pinnedBytes: async () => {
        const content = await this.ledger.contentOf([...this.#model.pinned].map(({ digest }) => digest));
        return content.reduce((sum, { size }) => sum + size, 0);
      },
      onEvicted: () => undefined,
      onExhausted: () => undefined,
      onError: (error) => {
        this.failure = error;
      },
      now: Date.now,
      signal: new AbortController().signal,
    });
    this.store.room.makeRoom = (missing) => this.evictor.free(missing);
  }

  /** A ledger of which is known what it was told to evict in this step. */
  #witnessed(ledger: SqliteLedger): Ledger {
    return new Proxy<Ledger>(ledger, {
      get: (_, key) => {
        if (key !== 'evict') return (Reflect.get(ledger, key) as () => unknown).bind(ledger);
        return async (digest: Digest, inUse: ReadonlySet<Digest>) => {
          const gone = await ledger.evict(digest, inUse);
          for (const blob of gone) this.evicted.add(blob.digest);
          return gone;
        };
      },
    });
  }

  /** A store in which a crash can come before a file is deleted. */
  #fragile(store: DiskBlobStore): BlobStore {
    return new Proxy<BlobStore>(store, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== 'function') return member;
        return (...parameters: unknown[]): unknown => {
          if (key === 'delete' || key === 'drop') this.moment();
          return Reflect.apply(member, target, parameters);
        };
      },
    });
  }

  /** One at which a crash can come: what is done afterwards by those whom it takes by surprise never happened. */
  moment(): void {
    if (this.crashIn-- > 0) return;
    if (!existsSync(`${this.root}+`)) this.#keepAsItIs();
    throw new Crash();
  }

  #keepAsItIs(): void {
    for (let tries = 1; ; tries++) {
      try {
        return cpSync(this.root, `${this.root}+`, { recursive: true });
      } catch (error) {
        // A file that was on its way out, and is gone now.
        rmSync(`${this.root}+`, { recursive: true, force: true });
        if (tries === 5) throw error;
      }
    }
  }

  async settle(): Promise<void> {
    await this.evictor.idle();
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure as Error;
  }

  async read(content: Content): Promise<void> {
    const reader = this.readers.has(content.digest) ? undefined : await this.store.open(content.digest);
    if (reader !== undefined) this.readers.set(content.digest, reader);
  }

  async letGo(): Promise<void> {
    for (const reader of this.readers.values()) await reader[Symbol.asyncDispose]();
    this.readers.clear();
  }

  async pull(image: Image): Promise<void> {
    const { now } = this.#model;
    for (const child of image.images) await this.pull(child);
    if (!(await this.#putManifest(image, now))) return;
    this.ledger.touch(image.digest, now);
    await this.ledger.setTag(repository, tagNamed(image.name.replace(' ', '-')), image.digest, now);
    for (const content of image.layers) await this.#fill(content, now);
  }

  async #putManifest(image: Image, storedAt: number): Promise<boolean> {
    const size = image.bytes.length;
    const below = [
      ...image.images.map((child) => ({ digest: child.digest, size, kind: 'manifest' as const })),
      ...image.layers.map(({ digest, bytes }) => ({ digest, size: bytes.length, kind: 'blob' as const })),
    ];
    const record = { digest: image.digest, size, isPublic: true, storedAt, mediaType };
    const add = () => this.#recording(() => this.ledger.addManifest(record, below, repository));
    if ((await this.ledger.manifest(image.digest)) === undefined) return this.store.put(image.digest, image.bytes, add);
    await add();
    return true;
  }

  async #fill({ digest, bytes }: Content, storedAt: number): Promise<void> {
    if ((await this.ledger.blob(digest)) !== undefined) return;
    await using writer = await this.store.begin(digest);
    if (!(await writer.reserve(bytes.length))) return;
    while (await writer.replay());
    await writer.append(bytes.subarray(writer.written, bytes.length / 2));
    this.moment();
    await writer.append(bytes.subarray(writer.written));
    expect(writer.verify()).toBe(true);
    const record = { digest, size: bytes.length, isPublic: true, storedAt };
    await writer.commit(() => this.#recording(() => this.ledger.addBlob(record, repository)));
  }

  /** A crash can come when the file is in its place and the ledger has not been told, and when it just has been. */
  async #recording<T>(record: () => Promise<T>): Promise<T> {
    this.moment();
    const recorded = await record();
    this.moment();
    return recorded;
  }

  async damage({ digest, bytes }: Content): Promise<void> {
    if (!(await this.ledger.forget(digest))) return;
    this.moment();
    await this.store.quarantine(digest, bytes.length);
  }

  /** What a kill leaves: the files as they are at this moment. */
  async crash(): Promise<void> {
    await this.letGo();
    await this.evictor.idle();
    this.failure = undefined;
    const before = this.root;
    this.root = `${before}+`;
    if (!existsSync(this.root)) await cp(before, this.root, { recursive: true });
    this.ledger.close({ clean: false });
    await rm(before, { recursive: true });
    this.crashIn = Number.POSITIVE_INFINITY;
    await this.open(true);
    const now = () => this.#model.now;
    await reconcile({ store: this.store, ledger: this.ledger, now, signal: new AbortController().signal });
  }

  async bytesThere(): Promise<number> {
    const entries = await readdir(this.root, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile() && !/^(ledger\.db|ballast)/.test(entry.name));
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async storedImages(): Promise<Set<Image>> {
    const there = new Set<Image>();
    for (const image of images) if ((await this.ledger.manifest(image.digest)) !== undefined) there.add(image);
    return there;
  }

  async storedDigests(): Promise<Set<Digest>> {
    return new Set((await this.ledger.blobs({ limit: 1_000 })).map(({ digest }) => digest));
  }
}

/** Everything that an image has below it, itself included. */
function contentsOf(image: Image): readonly Content[] {
  return [image, ...image.layers, ...image.images.flatMap(contentsOf)];
}

/** An image that is part of another one was used when that was, and when any part of that was. */
function usedAtLatest(model: Model, image: Image): number {
  const relatives = images.filter((other) => contentsOf(other).includes(image) || contentsOf(image).includes(other));
  const family = [...relatives, ...relatives.flatMap((relative) => relative.images)];
  return Math.max(...family.map((relative) => model.usedAt.get(relative) ?? 0));
}

async function check(model: Model, real: Real, damaged: ReadonlySet<Digest>): Promise<void> {
  expect(real.budget.taken).toBeLessThanOrEqual(capBytes);
  expect(real.budget.promised).toBe(0);
  if (real.readers.size === 0) expect(real.budget.taken).toBe(await real.bytesThere());
  const stored = await real.storedDigests();
  const there = await real.storedImages();
  const isThere = (image: Image) => there.has(image);
  const wasThere = (image: Image) => model.there.has(image) && !real.evicted.has(image.digest);
  // Bytes that went although nobody said that they were damaged.
  const lost = [...model.stored].filter((digest) => !stored.has(digest) && !damaged.has(digest));
  for (const image of images.filter((image) => isThere(image) && wasThere(image))) {
    for (const { digest, name } of image.layers) {
      if (lost.includes(digest)) throw new Error(`${image.name} lost ${name}`);
    }
  }
  const gone = images.filter((image) => real.evicted.has(image.digest));
  for (const image of model.pinned) expect(gone).not.toContain(image);
  const inUse = (image: Image) => contentsOf(image).some(({ digest }) => real.readers.has(digest));
  // What stays though it was used before something that went is pinned, being read, or part of something else.
  const isPart = (image: Image) => images.some((other) => isThere(other) && other.images.includes(image));
  for (const image of images.filter((image) => isThere(image) && !model.pinned.has(image) && !inUse(image))) {
    for (const victim of gone) {
      if (!isPart(image)) expect(model.usedBefore.get(victim) ?? 0).toBeLessThanOrEqual(usedAtLatest(model, image));
    }
  }
  for (const image of gone) if (!isThere(image)) model.usedAt.delete(image);
  model.stored = stored;
  model.there = there;
}

type Step = (model: Model, real: Real) => Promise<readonly Digest[] | undefined>;

function command(name: string, step: Step): fc.AsyncCommand<Model, Real> {
  return {
    check: () => true,
    run: async (model, real) => {
      model.now++;
      model.usedBefore = new Map(model.usedAt);
      real.evicted.clear();
      let damaged: readonly Digest[] = [];
      try {
        damaged = (await step(model, real)) ?? [];
        await real.settle();
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        await real.crash();
        // Marks of use are written once a second: a crash may cost the newest ones.
        for (const image of images) {
          const known = await real.ledger.image(image.digest);
          if (known === undefined) model.usedAt.delete(image);
          else model.usedAt.set(image, known.usedAt);
        }
      }
      await check(model, real, new Set(damaged));
    },
    toString: () => name,
  };
}

const anImage = fc.constantFrom(...images);
const aLayer = fc.constantFrom(...layers);

const pull = anImage.map((image) =>
  command(`pull ${image.name}`, async (model, real) => {
    for (const each of [image, ...image.images]) model.usedAt.set(each, model.now);
    await real.pull(image);
    return undefined;
  }),
);

const commands = [
  pull,
  pull,
  fc.tuple(anImage, fc.integer({ min: 0, max: 12 })).map(([image, moments]) =>
    command(`pull ${image.name}, crash at ${moments}`, async (model, real) => {
      for (const each of [image, ...image.images]) model.usedAt.set(each, model.now);
      real.crashIn = moments;
      await real.pull(image);
      real.crashIn = Number.POSITIVE_INFINITY;
      return undefined;
    }),
  ),
  anImage.map((image) =>
    command(`head ${image.name}`, (model, real) => {
      if (!model.there.has(image)) return Promise.resolve(undefined);
      model.usedAt.set(image, model.now);
      real.ledger.touch(image.digest, model.now);
      return Promise.resolve(undefined);
    }),
  ),
  anImage.map((image) =>
    command(`pin or unpin ${image.name}`, (model) => {
      if (!model.pinned.delete(image) && model.pinned.size < 2) model.pinned.add(image);
      return Promise.resolve(undefined);
    }),
  ),
  aLayer.map((content) => command(`read ${content.name}`, (_, real) => real.read(content).then(() => undefined))),
  fc.constant(command('let go of all readers', (_, real) => real.letGo().then(() => undefined))),
  aLayer.map((content) =>
    command(`damage ${content.name}`, async (_, real) => {
      await real.letGo();
      await real.damage(content);
      return [content.digest];
    }),
  ),
  aLayer.map((content) =>
    command(`an interrupted fill of ${content.name}`, async (_, real) => {
      if ((await real.ledger.blob(content.digest)) !== undefined) return undefined;
      await using writer = await real.store.begin(content.digest);
      while (await writer.replay());
      const bytes = content.bytes.subarray(writer.written, content.bytes.length / 2);
      if (await writer.reserve(content.bytes.length)) await writer.append(bytes);
      return undefined;
    }),
  ),
  fc.constant(command('crash', () => Promise.reject(new Crash()))),
];

/** In memory where there is such a place: what is looked for is not how a disk behaves. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

test('whatever is pulled, read, pinned, damaged and crashed in whatever order: the cap holds, the oldest goes, no image that stays loses a layer', async () => {
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 100, size: 'max' }), async (run) => {
      const model = new Model();
      const root = await mkdtemp(join(scratch, 'entrepot-capacity-'));
      const real = new Real(root, model);
      try {
        await real.open(false);
        await fc.asyncModelRun(() => ({ model, real }), run);
        steps += [...run].length;
      } finally {
        await real.letGo();
        real.ledger.close({ clean: false });
        await rm(real.root, { recursive: true, force: true });
      }
    }),
    { numRuns: 400 },
  );
  expect(steps).toBeGreaterThan(10_000);
  console.log(`capacity model: ${steps} steps`);
}, 300_000);
