import { appendFile, readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostedLedger } from '../../src/hosted/ports.ts';
import type { Fact } from '../../src/ledger/facts.ts';
import { HostedIndex } from '../../src/ledger/hosted-index.ts';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { Journal, readJournal } from '../../src/ledger/journal.ts';
import { rewriteJournal } from '../../src/ledger/rewrite-journal.ts';
import type { Ledger } from '../../src/mirror/ports.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { childrenOf } from '../../src/oci/manifest.ts';
import { hosted } from '../../src/oci/repository-name.ts';
import { repositoryNamed, tagNamed } from '../contract/words.ts';
import { actsWithoutContent } from '../support/ledger-acts.ts';
import { atOnce, LedgerFiles, never, StoreInMemory } from '../support/ledger-files.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const indexType = 'application/vnd.oci.image.index.v1+json';

/** Real bytes: two layers, images of one of them each, and indexes of one and of both images. */
const layers: readonly Buffer[] = ['layer one', 'layer two'].map((text) => Buffer.from(text));
const images: readonly Buffer[] = layers.map((layer) =>
  Buffer.from(JSON.stringify({ mediaType: imageType, config: descriptor(layers[0]!), layers: [descriptor(layer)] })),
);
const indexes: readonly Buffer[] = [images.slice(0, 1), images].map((entries) =>
  Buffer.from(
    JSON.stringify({
      mediaType: indexType,
      manifests: entries.map((entry, at) => ({
        ...descriptor(entry),
        platform: { os: 'linux', architecture: `cpu${at}` },
      })),
    }),
  ),
);
const contents = [...layers, ...images, ...indexes];
const typeOf = (bytes: Buffer) => (indexes.includes(bytes) ? indexType : imageType);

function descriptor(bytes: Buffer) {
  return { digest: digestOf(bytes), size: bytes.length };
}

const otherName = repositoryNamed('x/local/app').name;
const repositories = ['docker.io/x/y', 'ghcr.io/x/y'].map(repositoryNamed);
const hostedOnes = repositories.map(({ name }, at) => ({ registry: hosted, name: at === 0 ? name : otherName }));
const tags = ['1', '2'].map(tagNamed);
const patterns = ['docker.io/x/*', 'ghcr.io/**'];

const content = fc.constantFrom(...contents);
const manifest = fc.constantFrom(...images, ...indexes);
const repository = fc.constantFrom(...repositories);
const hostedOne = fc.constantFrom(...hostedOnes);
const tag = fc.constantFrom(...tags);
const pattern = fc.constantFrom(...patterns);
const at = fc.integer({ min: 1, max: 9 });
const isPublic = fc.boolean();

/** One thing that can be done with a ledger, or with what is hosted in it. */
type Act = (ledger: Ledger, index: HostedLedger) => Promise<unknown>;

function childrenIn(bytes: Buffer) {
  const children = childrenOf(bytes, typeOf(bytes));
  if (!children.ok) throw new Error(children.failure.reason);
  return children.value;
}

const hostedAct: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(hostedOne, content, at).map(
    ([repository, bytes, storedAt]): Act =>
      (_, index) =>
        index.addUpload(repository, { ...descriptor(bytes), storedAt }),
  ),
  fc.tuple(hostedOne, content, at).map(
    ([repository, bytes, at]): Act =>
      async (ledger, index) => {
        // Only what is stored is mounted.
        if ((await ledger.blob(digestOf(bytes))) !== undefined) await index.addMount(repository, digestOf(bytes), at);
      },
  ),
  {
    weight: 2,
    arbitrary: fc.tuple(hostedOne, manifest, at).map(
      ([repository, bytes, storedAt]): Act =>
        (_, index) =>
          index.addHostedManifest(
            repository,
            { ...descriptor(bytes), storedAt, mediaType: typeOf(bytes) },
            { children: childrenIn(bytes), referrer: undefined },
          ),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(hostedOne, tag, manifest, at).map(
      ([repository, tag, bytes, at]): Act =>
        async (ledger, index) => {
          if ((await ledger.manifest(digestOf(bytes))) !== undefined)
            await index.setHostedTag(repository, tag, digestOf(bytes), at);
        },
    ),
  },
  fc.tuple(hostedOne, tag).map(
    ([repository, tag]): Act =>
      (_, index) =>
        index.removeHostedTag(repository, tag),
  ),
  fc.tuple(hostedOne, content).map(
    ([repository, bytes]): Act =>
      (_, index) =>
        index.unlink(repository, digestOf(bytes)),
  ),
  fc.tuple(hostedOne, content).map(
    ([repository, bytes]): Act =>
      (_, index) =>
        index.dropStray(repository, digestOf(bytes), Number.MAX_SAFE_INTEGER),
  ),
  content.map(
    (bytes): Act =>
      (_, index) =>
        index.takeBack(digestOf(bytes), Number.MAX_SAFE_INTEGER, true),
  ),
);

const everywhere = [...repositories, ...hostedOnes];

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: hostedAct },
  fc.tuple(content, isPublic, at, fc.option(repository, { nil: undefined })).map(
    ([bytes, isPublic, storedAt, repository]): Act =>
      (ledger) =>
        ledger.addBlob({ ...descriptor(bytes), isPublic, storedAt }, repository),
  ),
  {
    weight: 3,
    arbitrary: fc.tuple(manifest, isPublic, at, repository).map(
      ([bytes, isPublic, storedAt, repository]): Act =>
        (ledger) => {
          const record = { ...descriptor(bytes), isPublic, storedAt, mediaType: typeOf(bytes) };
          return ledger.addManifest(record, childrenIn(bytes), repository);
        },
    ),
  },
  fc.tuple(repository, content, isPublic, at).map(
    ([repository, bytes, isPublic, at]): Act =>
      (ledger) =>
        ledger.link(repository, { digest: digestOf(bytes), isPublic }, at),
  ),
  {
    weight: 3,
    // A tag is only ever pointed at what is stored.
    arbitrary: fc.tuple(repository, tag, manifest, at).map(
      ([repository, tag, bytes, at]): Act =>
        async (ledger) => {
          if ((await ledger.manifest(digestOf(bytes))) !== undefined)
            await ledger.setTag(repository, tag, digestOf(bytes), at);
        },
    ),
  },
  { weight: 5, arbitrary: actsWithoutContent({ repository, tag, pattern, at }) },
  content.map(
    (bytes): Act =>
      (ledger) =>
        ledger.forget(digestOf(bytes)),
  ),
  fc.tuple(content, fc.subarray(contents, { maxLength: 1 })).map(
    ([bytes, inUse]): Act =>
      (ledger) =>
        ledger.evict(digestOf(bytes), new Set(inUse.map((bytes) => digestOf(bytes)))),
  ),
);

const bursts = fc.array(fc.array(act, { minLength: 1, maxLength: 5 }), { maxLength: 14 });

async function run(files: LedgerFiles, bursts: readonly (readonly Act[])[]): Promise<void> {
  const { sqlite, journal, ledger } = files;
  const index = new HostedIndex({ sqlite, journal, hot: new HotLedger(ledger) });
  for (const burst of bursts) await Promise.all(burst.map((act) => act(ledger, index)));
}

/** Everything that can be asked for, but for last use. */
async function everythingIn(ledger: Ledger): Promise<unknown> {
  const page = { limit: 100 };
  const listing = { defaultRegistry: 'docker.io', registries: ['docker.io', 'ghcr.io'], listPrivate: ['ghcr.io'] };
  const images = contents.map(async (bytes) => ({ ...(await ledger.image(digestOf(bytes))), usedAt: undefined }));
  return {
    blobs: await ledger.blobs(page),
    manifests: await Promise.all(contents.map((bytes) => ledger.manifest(digestOf(bytes)))),
    links: await Promise.all(
      contents.flatMap((bytes) => everywhere.map((repository) => ledger.isLinked(repository, digestOf(bytes)))),
    ),
    stated: await Promise.all(
      contents.flatMap((bytes) => everywhere.map((repository) => ledger.statedSize(repository, digestOf(bytes)))),
    ),
    tags: await Promise.all(everywhere.flatMap((repository) => tags.map((tag) => ledger.tag(repository, tag)))),
    visibilities: await Promise.all(repositories.map((repository) => ledger.visibility(repository))),
    pins: await ledger.pins(),
    totals: await ledger.totals(),
    listed: await Promise.all(everywhere.map((repository) => ledger.tags(repository, page))),
    catalog: await ledger.repositories(page, listing),
    images: await Promise.all(images),
    names: await ledger.imageNames(page),
    toGo: (await ledger.leastUsed(page)).map(({ digest }) => digest).sort(),
  };
}

/** A tag whose manifest was forgotten is true, and of no use: a recovery leaves it out, or makes it what it falls back to. */
async function withoutLostTags(ledger: Ledger): Promise<void> {
  for (const repository of everywhere) {
    for (const tag of tags) {
      const record = await ledger.tag(repository, tag);
      if (record === undefined || (await ledger.manifest(record.digest)) !== undefined) continue;
      const { fallback } = record;
      await ledger.removeTag(repository, tag);
      if (fallback !== undefined && (await ledger.manifest(fallback)) !== undefined)
        await ledger.setTag(repository, tag, fallback, 0);
    }
  }
}

/** Who may have what is found without a row, as after a crash between file and row. */
async function adoptRest(ledger: Ledger): Promise<void> {
  for (const bytes of contents) {
    if ((await ledger.blob(digestOf(bytes))) === undefined)
      await ledger.adoptBlob({ ...descriptor(bytes), storedAt: 1 });
  }
}

async function storeOf(ledger: Ledger): Promise<StoreInMemory> {
  const store = new StoreInMemory();
  for (const bytes of contents)
    if ((await ledger.blob(digestOf(bytes))) !== undefined) store.files.set(digestOf(bytes), bytes);
  return store;
}

test('a ledger filled from its journal is the ledger that was lost, whatever was done with it, all at once or not', async () => {
  await fc.assert(
    fc.asyncProperty(bursts, async (bursts) => {
      await using files = await LedgerFiles.start({ inMemory: true });
      await run(files, bursts);
      const store = await storeOf(files.ledger);
      // Past the journal: what it says has to come out right by itself.
      await withoutLostTags(files.sqlite);
      const before = await everythingIn(files.sqlite);
      await adoptRest(files.sqlite);
      const withRest = await files.sqlite.blobs({ limit: 100 });
      await files.loseLedger();
      const recovery = await files.start(store);
      expect(await everythingIn(files.ledger)).toEqual(before);
      await adoptRest(files.sqlite);
      expect(await files.sqlite.blobs({ limit: 100 })).toEqual(withRest);
      expect(recovery?.lost.filter((loss) => /line|file/.test(loss))).toEqual([]);
      expect(store.quarantined.size).toBe(0);
    }),
    { numRuns: 100 },
  );
});

test('a journal that is rewritten while it is written to still tells everything', async () => {
  await fc.assert(
    fc.asyncProperty(bursts, bursts, async (first, meanwhile) => {
      await using files = await LedgerFiles.start({ inMemory: true });
      await run(files, first);
      const left = [...meanwhile];
      const sleep = async () => {
        const burst = left.shift();
        if (burst !== undefined) await run(files, [burst]);
      };
      await rewriteJournal({ journal: files.journal, rows: files.sqlite.rows, clock: { sleep }, signal: never });
      await run(files, left);
      const store = await storeOf(files.ledger);
      await withoutLostTags(files.sqlite);
      const before = await everythingIn(files.sqlite);
      await files.loseLedger();
      await files.start(store);
      expect(await everythingIn(files.ledger)).toEqual(before);
    }),
    { numRuns: 60 },
  );
});

test('a journal cut at any byte gives back what stands before the cut, and what is appended afterwards', async () => {
  await using files = await LedgerFiles.start({ inMemory: true });
  const times = { isPublic: true, storedAt: 1 };
  await files.ledger.addManifest({ ...descriptor(images[0]!), ...times, mediaType: imageType }, [], repositories[0]!);
  await files.ledger.setTag(repositories[0]!, tags[0]!, digestOf(images[0]!), 5);
  files.stop();
  const whole = await readFile(files.path('journal.ndjson'));
  const facts = await factsIn(files);
  expect(facts.map(({ is }) => is)).toEqual(['blob', 'link', 'visibility', 'tag']);
  for (let cut = 0; cut <= whole.length; cut++) {
    await writeFile(files.path('journal.ndjson'), whole.subarray(0, cut));
    const journal = await Journal.open(files.root, (error) => expect.unreachable(error.message));
    const pin = { is: 'pin', pattern: 'docker.io/**', at: 1 } as const;
    journal.append([pin]);
    journal.close();
    // A line without its end is whole when the next byte is that end.
    const lines =
      whole
        .subarray(0, cut + 1)
        .toString()
        .split('\n').length - 1;
    expect(await factsIn(files), `cut at ${cut}`).toEqual([...facts.slice(0, Math.max(lines - 1, 0)), pin]);
  }
});

async function factsIn(files: LedgerFiles): Promise<Fact[]> {
  const facts: Fact[] = [];
  for await (const piece of readJournal(files.root)) facts.push(...piece.facts);
  return facts;
}

test('bytes that are overwritten in a journal cost lines, never a start, and make nothing public', async () => {
  await using files = await LedgerFiles.start({ inMemory: true });
  const digests: Digest[] = [];
  const store = new StoreInMemory();
  for (let count = 0; count < 40; count++) {
    const bytes = Buffer.from(`private ${count}`);
    store.files.set(digestOf(bytes), bytes);
    digests.push(digestOf(bytes));
    await files.ledger.addBlob({ ...descriptor(bytes), isPublic: false, storedAt: 1 }, repositories[0]);
  }
  await files.loseLedger();
  const whole = await readFile(files.path('journal.ndjson'));
  // A first line that names another format is not damage: what it says is that somebody else wrote the file.
  const position = fc.integer({ min: whole.indexOf('\n') + 1, max: whole.length - 1 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(position, fc.uint8Array({ minLength: 1, maxLength: 300 })), { maxLength: 5 }),
      async (spots) => {
        const damaged = Buffer.from(whole);
        for (const [position, bytes] of spots) Buffer.from(bytes).copy(damaged, position);
        await writeFile(files.path('journal.ndjson'), damaged);
        await files.start(store);
        for (const digest of digests) expect((await files.ledger.blob(digest))?.isPublic ?? false).toBe(false);
        await files.loseLedger();
      },
    ),
    { numRuns: 40 },
  );
});

test('a line longer than any fact is one that cannot be read, and costs no memory', async () => {
  await using files = await LedgerFiles.start({ inMemory: true });
  await files.ledger.addPin('before', 1);
  files.stop();
  for (let piece = 0; piece < 20; piece++) await appendFile(files.path('journal.ndjson'), 'x'.repeat(1_000_000));
  await appendFile(files.path('journal.ndjson'), '\n');
  await files.start(new StoreInMemory());
  await files.ledger.addPin('behind', 1);
  await files.loseLedger();
  const recovery = await files.start(new StoreInMemory());
  expect(await files.ledger.pins()).toEqual(['before', 'behind']);
  expect(recovery?.lost).toContain('1 line of journal.ndjson could not be read.');
});

test('pauses between pages are asked of the clock', async () => {
  await using files = await LedgerFiles.start({ inMemory: true });
  await files.ledger.addPin('one', 1);
  let pauses = 0;
  const sleep = () => {
    pauses++;
    return atOnce.sleep();
  };
  await rewriteJournal({ journal: files.journal, rows: files.sqlite.rows, clock: { sleep }, signal: never });
  expect(pauses).toBe(1);
});
