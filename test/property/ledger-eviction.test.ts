import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { ImageName, TagRecord, UseOrder } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Child } from '../../src/oci/manifest.ts';
import type { Tag } from '../../src/oci/reference.ts';
import { type Repository, repositoryText } from '../../src/oci/repository-name.ts';
import { digestNamed, repositoryNamed, tagNamed } from '../contract/words.ts';

const digests = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(digestNamed);
const repositories = ['docker.io/x/y', 'ghcr.io/x'].map(repositoryNamed);
const tags = ['1', '2'].map(tagNamed);
const mediaType = 'application/vnd.oci.image.index.v1+json';

/** What each content refers to, as a manifest: only what stands before it, as nothing can contain its own digest. */
type World = ReadonlyMap<Digest, readonly Child[]>;

const world: fc.Arbitrary<World> = fc
  .tuple(
    ...digests.map((_, index) =>
      fc.dictionary(
        fc.constantFrom(...digests.slice(0, Math.max(1, index))),
        fc.constantFrom<Child['kind']>('blob', 'manifest'),
        { maxKeys: index === 0 ? 0 : 3 },
      ),
    ),
  )
  .map((entries) => {
    const childrenOf = (kinds: Readonly<Record<string, Child['kind']>>): Child[] =>
      Object.entries(kinds).map(([digest, kind], at) => ({
        digest: digest as Digest,
        size: 1,
        kind,
        platform: `linux/${at}`,
      }));
    return new Map(entries.map((kinds, index) => [digests[index]!, childrenOf(kinds)]));
  });

interface Stored {
  size: number;
  usedAt: number;
  isManifest: boolean;
}

interface Tagged {
  readonly repository: Repository;
  readonly tag: Tag;
  readonly digest: Digest;
  readonly fallback: Digest | undefined;
  readonly checkedAt: number;
}

type Gone = readonly { readonly digest: Digest; readonly size: number }[];

/** What should be so, by looking at everything every time. */
class Model {
  readonly #world: World;
  stored = new Map<Digest, Stored>();
  readonly tagged = new Map<string, Tagged>();
  readonly links = new Set<string>();
  #marks: [Digest, number][] = [];

  constructor(world: World) {
    this.#world = world;
  }

  childrenOf(digest: Digest): readonly Child[] {
    return this.stored.get(digest)?.isManifest === true ? this.#world.get(digest)! : [];
  }

  parentsOf(digest: Digest): Digest[] {
    return digests.filter((parent) => this.childrenOf(parent).some((child) => child.digest === digest));
  }

  add(digest: Digest, size: number, at: number, isManifest: boolean): void {
    const before = this.stored.get(digest) ?? { usedAt: at, isManifest: false };
    const usedAt = Math.max(before.usedAt, at);
    this.stored.set(digest, { size, usedAt, isManifest: isManifest || before.isManifest });
  }

  #use(digest: Digest, at: number): void {
    const stored = this.stored.get(digest);
    if (stored !== undefined) stored.usedAt = Math.max(stored.usedAt, at);
  }

  remove(digest: Digest): boolean {
    const { usedAt = 0 } = this.stored.get(digest) ?? {};
    for (const child of this.childrenOf(digest)) this.#use(child.digest, usedAt);
    return this.stored.delete(digest);
  }

  touch(digest: Digest, at: number): void {
    this.#marks.push([digest, at]);
  }

  writeMarks(): void {
    for (const [digest, at] of this.#marks) this.#useUpwards(digest, at);
    this.#marks = [];
  }

  #useUpwards(digest: Digest, at: number): void {
    this.#use(digest, at);
    for (const parent of this.parentsOf(digest)) {
      const isPart = this.childrenOf(parent).some((child) => child.digest === digest && child.kind === 'manifest');
      if (isPart) this.#useUpwards(parent, at);
    }
  }

  tagsOf(digest: Digest): Tagged[] {
    return [...this.tagged.values()].filter((tagged) => tagged.digest === digest);
  }

  /** What a tag falls back to once its own digest has gone, which can go before. */
  #isFallback(digest: Digest): boolean {
    const tagged = [...this.tagged.values()];
    return tagged.some(
      (entry) =>
        entry.fallback === digest &&
        this.stored.has(entry.digest) &&
        !this.#isPartOf(entry.digest, digest) &&
        !tagged.some(({ fallback }) => fallback === entry.digest),
    );
  }

  #isPartOf(digest: Digest, whole: Digest): boolean {
    return this.parentsOf(digest).some((parent) => parent === whole || this.#isPartOf(parent, whole));
  }

  mayGo(digest: Digest): boolean {
    return this.stored.has(digest) && this.parentsOf(digest).length === 0 && !this.#isFallback(digest);
  }

  evict(digest: Digest, inUse: ReadonlySet<Digest>, mayBeManifest = true): Gone {
    const stored = this.stored.get(digest);
    if (stored === undefined || !this.mayGo(digest) || inUse.has(digest)) return [];
    if (stored.isManifest && !mayBeManifest) return [];
    for (const [key, tagged] of this.tagged) {
      const { fallback, ...rest } = tagged;
      if (fallback === digest) this.tagged.set(key, { ...rest, fallback: undefined });
      if (tagged.digest !== digest) continue;
      if (fallback !== undefined) this.#use(fallback, stored.usedAt);
      if (fallback !== undefined && this.stored.get(fallback)?.isManifest === true)
        this.tagged.set(key, { ...rest, digest: fallback, fallback: undefined, checkedAt: 0 });
      else this.tagged.delete(key);
    }
    for (const repository of repositories) this.links.delete(linkText(repository, digest));
    const blobs = this.childrenOf(digest).filter((child) => child.kind === 'blob');
    this.remove(digest);
    return [{ digest, size: stored.size }, ...blobs.flatMap((child) => this.evict(child.digest, inUse, false))];
  }

  /** Everything at and below the digest, stored or not, and as what it is referred to. */
  below(digest: Digest): Child[] {
    const below = this.childrenOf(digest).flatMap((child) => [child, ...this.below(child.digest)]);
    return [...new Map(below.map((child) => [`${child.kind} ${child.digest}`, child])).values()];
  }

  bytesBelow(digest: Digest): number {
    const all = new Set([digest, ...this.below(digest).map((child) => child.digest)]);
    return [...all].reduce((sum, each) => sum + (this.stored.get(each)?.size ?? 0), 0);
  }

  isComplete(digest: Digest): boolean {
    return this.below(digest).every(
      (child) =>
        this.stored.has(child.digest) && (child.kind === 'blob' || this.stored.get(child.digest)?.isManifest === true),
    );
  }

  /** At and above the digest. */
  above(digest: Digest): Set<Digest> {
    return new Set([digest, ...this.parentsOf(digest).flatMap((parent) => [...this.above(parent)])]);
  }

  imageNames(): ImageName[] {
    const images = digests.filter((digest) => this.stored.get(digest)?.isManifest === true);
    return images
      .flatMap((digest) => [
        ...this.tagsOf(digest).map(({ repository, tag, checkedAt }) => ({ repository, tag, digest, checkedAt })),
        ...repositories
          .filter(
            (repository) =>
              this.parentsOf(digest).length === 0 &&
              this.links.has(linkText(repository, digest)) &&
              !this.tagsOf(digest).some((tagged) => tagged.repository === repository),
          )
          .map((repository) => ({ repository, tag: undefined, digest, checkedAt: undefined })),
      ])
      .sort((one, other) => (nameText(one) < nameText(other) ? -1 : 1));
  }
}

function linkText(repository: Repository, digest: Digest): string {
  return `${repositoryText(repository)} ${digest}`;
}

function tagText(repository: Repository, tag: Tag): string {
  return `${repositoryText(repository)}:${tag}`;
}

function nameText({ repository: { registry, name }, tag, digest }: ImageName): string {
  return [registry, name, tag ?? '', digest].join('\n');
}

/** A ledger with its books, and a way to close and open it again. */
interface Subject {
  ledger: SqliteLedger;
  readonly model: Model;
  readonly reopen?: () => SqliteLedger;
}

type Act = (subject: Subject) => Promise<void>;

const digest = fc.constantFrom(...digests);
const repository = fc.constantFrom(...repositories);
const tag = fc.constantFrom(...tags);
const size = fc.integer({ min: 0, max: 9 });
const at = fc.integer({ min: 1, max: 30 });

const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(digest, size, at, repository).map(
      ([digest, size, at, repository]): Act =>
        async ({ ledger, model }) => {
          await ledger.addBlob({ digest, size, isPublic: true, storedAt: at }, repository);
          model.add(digest, size, at, false);
          model.links.add(linkText(repository, digest));
        },
    ),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(digest, size, at, repository).map(
      ([digest, size, at, repository]): Act =>
        async ({ ledger, model }) => {
          model.add(digest, size, at, true);
          model.links.add(linkText(repository, digest));
          const manifest = { digest, size, isPublic: true, storedAt: at, mediaType };
          await ledger.addManifest(manifest, model.childrenOf(digest), repository);
        },
    ),
  },
  digest.map(
    (digest): Act =>
      async ({ ledger, model }) =>
        expect(await ledger.forget(digest)).toBe(model.remove(digest)),
  ),
  {
    weight: 3,
    arbitrary: fc.tuple(digest, at).map(
      ([digest, at]): Act =>
        ({ ledger, model }) => {
          ledger.touch(digest, at);
          model.touch(digest, at);
          return Promise.resolve();
        },
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(repository, tag, digest, at).map(
      ([repository, tag, digest, at]): Act =>
        async ({ ledger, model }) => {
          // Which fallback is kept is another promise; what comes of it is looked at here.
          const { fallback } = await ledger.setTag(repository, tag, digest, at);
          model.tagged.set(tagText(repository, tag), { repository, tag, digest, fallback, checkedAt: at });
        },
    ),
  },
  fc.tuple(repository, tag).map(
    ([repository, tag]): Act =>
      async ({ ledger, model }) => {
        await ledger.removeTag(repository, tag);
        model.tagged.delete(tagText(repository, tag));
      },
  ),
  fc.tuple(repository, tag).map(
    ([repository, tag]): Act =>
      async ({ ledger, model }) => {
        const settled = await ledger.settleTag(repository, tag);
        const before = model.tagged.get(tagText(repository, tag));
        if (before !== undefined)
          model.tagged.set(tagText(repository, tag), { ...before, fallback: settled?.fallback });
      },
  ),
  {
    weight: 5,
    arbitrary: fc
      .tuple(digest, fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.subarray(digests, { maxLength: 3 })))
      .map(
        ([digest, inUse]): Act =>
          (subject) =>
            evict(subject, digest, new Set(inUse)),
      ),
  },
  fc.constant<Act>((subject) => {
    if (subject.reopen !== undefined) {
      subject.model.writeMarks();
      subject.ledger = subject.reopen();
    }
    return Promise.resolve();
  }),
);

async function evict({ ledger, model }: Subject, digest: Digest, inUse: ReadonlySet<Digest>): Promise<void> {
  model.writeMarks();
  const before = new Map(model.stored);
  const needed = digests.flatMap((parent) => model.childrenOf(parent).map((child) => [parent, child.digest] as const));

  const evicted = await ledger.evict(digest, inUse);
  const left = new Set((await ledger.blobs({ limit: 100 })).map((blob) => blob.digest));
  const gone = [...before].filter(([digest]) => !left.has(digest)).map(([digest, { size }]) => ({ digest, size }));
  const lost = needed.filter(([parent, child]) => left.has(parent) && before.has(child) && !left.has(child));
  expect({ evicted: byDigest(evicted), lost, inUse: gone.filter(({ digest }) => inUse.has(digest)) }).toEqual({
    evicted: byDigest(gone),
    lost: [],
    inUse: [],
  });
  expect(byDigest(gone)).toEqual(byDigest(model.evict(digest, inUse)));
}

function byDigest(gone: Gone): Gone {
  return [...gone].sort((one, other) => (one.digest < other.digest ? -1 : 1));
}

async function inPages<T>(limit: number, page: (after: T | undefined) => Promise<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for (;;) {
    const more = await page(all.at(-1));
    all.push(...more);
    if (all.length > 1_000) throw new Error('the pages come to no end');
    if (more.length < limit) return all;
  }
}

/** What can be seen of the whole ledger, read in pages of so many entries. */
async function seen({ ledger }: Subject, limit: number): Promise<unknown> {
  const order = await inPages(limit, (after: UseOrder | undefined) => ledger.leastUsed({ after, limit }));
  const names = (after: ImageName | undefined) =>
    ledger.imageNames({ limit, ...(after === undefined ? {} : { after }) });
  return {
    order: order.map(({ digest, size, usedAt, isManifest }) => ({ digest, size, usedAt, isManifest })),
    totals: await ledger.totals(),
    names: await inPages(limit, names),
    tags: await Promise.all(repositories.flatMap((repository) => tags.map((tag) => ledger.tag(repository, tag)))),
  };
}

function expected({ model }: Subject): unknown {
  const sizes = [...model.stored.values()].map(({ size }) => size);
  return {
    order: digests
      .filter((digest) => model.mayGo(digest))
      .map((digest) => ({ digest, ...model.stored.get(digest)! }))
      .sort((one, other) => one.usedAt - other.usedAt || (one.digest < other.digest ? -1 : 1)),
    totals: { blobs: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0), hostedBlobs: 0, hostedBytes: 0 },
    names: model.imageNames(),
    tags: repositories.flatMap((repository) => tags.map((tag) => tagRecord(model, repository, tag))),
  };
}

/** What can be seen of every digest, which is dear to ask. */
async function seenOfEach({ ledger }: Subject): Promise<unknown> {
  return Promise.all(
    digests.map(async (digest) => ({
      above: (await ledger.namesAbove(digest, 100)).map(nameText).sort(),
      bytes: (await ledger.contentOf([digest])).reduce((sum, { size }) => sum + size, 0),
      image: await ledger.image(digest).then((image) => image && { ...image, completePlatforms: undefined }),
      links: await Promise.all(repositories.map((repository) => ledger.isLinked(repository, digest))),
    })),
  );
}

function expectedOfEach({ model }: Subject): unknown {
  const names = model.imageNames();
  return digests.map((digest) => {
    const { isManifest = false, usedAt } = model.stored.get(digest) ?? {};
    const above = model.above(digest);
    const bytes = model.bytesBelow(digest);
    return {
      above: names.filter((name) => above.has(name.digest)).map(nameText),
      bytes,
      image: isManifest ? { digest, mediaType, bytes, usedAt, isComplete: model.isComplete(digest) } : undefined,
      links: repositories.map((repository) => model.links.has(linkText(repository, digest))),
    };
  });
}

function tagRecord(model: Model, repository: Repository, tag: Tag): TagRecord | undefined {
  const tagged = model.tagged.get(tagText(repository, tag));
  if (tagged === undefined) return undefined;
  const { digest, checkedAt, fallback } = tagged;
  return { digest, checkedAt, ...(fallback === undefined ? {} : { fallback }) };
}

async function check(subject: Subject, limit: number): Promise<void> {
  subject.model.writeMarks();
  expect(await seen(subject, limit)).toEqual(expected(subject));
}

/** By evicting what was used longest ago, again and again, everything can be made to go. */
async function drain(subject: Subject): Promise<void> {
  for (let rounds = 0; rounds <= digests.length; rounds++) {
    const [first] = await subject.ledger.leastUsed({ limit: 1 });
    if (first === undefined) break;
    await evict(subject, first.digest, new Set());
  }
  expect(await subject.ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
}

async function run(subject: Subject, bursts: readonly (readonly Act[])[], limit: number): Promise<void> {
  for (const burst of bursts) {
    for (const act of burst) await act(subject);
    await check(subject, limit);
  }
  expect(await seenOfEach(subject)).toEqual(expectedOfEach(subject));
  await drain(subject);
  await check(subject, limit);
}

/** Between the acts of one burst nothing is looked at, so that marks are still to be written when the next comes. */
const bursts = fc.array(fc.array(act, { minLength: 1, maxLength: 3 }), { minLength: 10, maxLength: 35, size: 'max' });
const limit = fc.constantFrom(1, 3, 100);

test('the order of use, totals, names and what an eviction takes are those of the books', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(world, bursts, limit, async (world, bursts, limit) => {
      const ledger = new SqliteLedger(':memory:');
      try {
        await run({ ledger, model: new Model(world) }, bursts, limit);
      } finally {
        ledger.close({ clean: true });
      }
    }),
    { numRuns: 500 },
  );
});

test('and so they are over restarts', { timeout: 60_000 }, async () => {
  const root = await mkdtemp(join(tmpdir(), 'entrepot-ledger-'));
  let files = 0;
  await fc.assert(
    fc.asyncProperty(world, bursts, limit, async (world, bursts, limit) => {
      const path = join(root, `${files++}.db`);
      const subject = {
        ledger: new SqliteLedger(path),
        model: new Model(world),
        reopen: () => {
          subject.ledger.close({ clean: true });
          return new SqliteLedger(path);
        },
      };
      try {
        await run(subject, bursts, limit);
      } finally {
        subject.ledger.close({ clean: true });
      }
    }),
    { numRuns: 20 },
  );
  await rm(root, { recursive: true, force: true });
});
