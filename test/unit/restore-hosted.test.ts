import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Restored, restoreHosted } from '../../src/hosted/restore.ts';
import { HostedIndex } from '../../src/ledger/hosted-index.ts';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { childrenOf, kinshipOf } from '../../src/oci/manifest.ts';
import { hosted, type Repository } from '../../src/oci/repository-name.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { DiskHostedNotes } from '../../src/store/hosted-notes.ts';
import { fileNameOf, Layout } from '../../src/store/layout.ts';
import { digestNamed, repositoryNamed, tagNamed } from '../contract/words.ts';
import { LedgerFiles } from '../support/ledger-files.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const app: Repository = { registry: hosted, name: repositoryNamed('x/local/app').name };
const other: Repository = { registry: hosted, name: repositoryNamed('x/local/other').name };
const latest = tagNamed('latest');
const [config, layer] = ['{}', 'a layer'].map((text) => Buffer.from(text)) as [Buffer, Buffer];
const image = manifestOf();
const signature = manifestOf({ subject: described(image), artifactType: 'application/x.signature' });
const everything = [config, layer, image, signature];

function described(bytes: Buffer) {
  return { digest: digestOf(bytes), size: bytes.length };
}

function manifestOf(more: object = {}): Buffer {
  const blobs = {
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...described(config) },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...described(layer) }],
  };
  const subject = 'subject' in more ? { subject: { mediaType: imageType, ...(more.subject as object) } } : {};
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: imageType, ...blobs, ...more, ...subject }));
}

/** A data directory with hosting in it, as far as a start has to bring it back. */
class Site implements AsyncDisposable {
  readonly files: LedgerFiles;
  readonly layout: Layout;
  store!: DiskBlobStore;
  notes!: DiskHostedNotes;
  ledger!: HotLedger;
  index!: HostedIndex;

  private constructor(files: LedgerFiles) {
    this.files = files;
    this.layout = new Layout(files.root);
  }

  /** With an image and its signature in `app`, the image tagged, after a restart. */
  static async withImage(): Promise<Site> {
    const site = new Site(await LedgerFiles.prepare());
    await site.start();
    await site.push(app, image);
    await site.push(app, signature);
    await site.tag(app, digestOf(image));
    site.files.stop();
    await site.start();
    return site;
  }

  /** Opens all of it. A ledger that is new is filled, from the journal where there is one. */
  async start(): Promise<readonly string[]> {
    this.store = await DiskBlobStore.open(this.files.root, new Budget(1_000_000), { minFree: 0 });
    this.notes = await DiskHostedNotes.open(this.layout, this.store.room);
    await this.files.start(this.store);
    const { sqlite, journal } = this.files;
    this.ledger = new HotLedger(this.files.ledger);
    this.index = new HostedIndex({ sqlite, journal, hot: this.ledger });
    this.store.lookUp = (digest) => this.ledger.blob(digest);
    return (await this.restore(false)).lost;
  }

  restore(isDeep: boolean): Promise<Restored> {
    const { notes, ledger, index, store } = this;
    return restoreHosted({ notes, areNotesLost: notes.isNew, ledger, index, store, isDeep, now: () => 99 });
  }

  async push(repository: Repository, manifest: Buffer, { noted = true } = {}): Promise<void> {
    for (const bytes of [config, layer]) {
      await this.store.host(digestOf(bytes), bytes, () =>
        this.index.addUpload(repository, { ...described(bytes), storedAt: 5 }),
      );
    }
    const [children, kinship] = [childrenOf(manifest, imageType), kinshipOf(manifest, imageType)];
    if (!children.ok || !kinship.ok) throw new Error('the manifest cannot be read');
    const { subject } = kinship.value;
    const about = { children: children.value, referrer: subject && { ...kinship.value, subject } };
    await this.store.host(digestOf(manifest), manifest, () =>
      this.index.addHostedManifest(repository, { ...described(manifest), mediaType: imageType, storedAt: 5 }, about),
    );
    const note = { digest: digestOf(manifest), mediaType: imageType, pushedAt: 5 };
    if (noted) await this.notes.putManifest(repository.name, note);
  }

  async tag(repository: Repository, digest: Digest): Promise<void> {
    await this.notes.putTag(repository.name, { tag: latest, digest, pushedAt: 6 });
    await this.index.setHostedTag(repository, latest, digest, 6);
  }

  /** Everything that is served of it. */
  async served(repository: Repository = app): Promise<unknown> {
    const { ledger, index } = this;
    const page = { artifactType: undefined, after: undefined, limit: 10 };
    return {
      blobs: await Promise.all(everything.map((bytes) => ledger.blob(digestOf(bytes)))),
      links: await Promise.all(everything.map((bytes) => ledger.isLinked(repository, digestOf(bytes)))),
      manifests: await index.hostedManifests(repository),
      types: [
        (await ledger.manifest(digestOf(image)))?.mediaType,
        (await ledger.manifest(digestOf(signature)))?.mediaType,
      ],
      tags: await index.hostedTags(repository),
      referrers: await index.referrers(repository, digestOf(image), page),
      totals: await ledger.totals(),
    };
  }

  notePath(kind: '_manifests' | '_tags', name: string): string {
    return join(this.layout.notesOf(app.name, kind), name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.files[Symbol.asyncDispose]();
  }
}

test.each([
  ['its journal is there', false],
  ['its journal is lost too', true],
])('a ledger that was lost is as it was once its hosted images are restored, when %s', async (_, isJournalLost) => {
  await using site = await Site.withImage();
  const before = await site.served();
  await site.files.loseLedger();
  if (isJournalLost) await rm(site.files.path('journal.ndjson'));
  await site.start();
  expect(await site.restore(true)).toEqual({ repositories: 1, manifests: 2, tags: 1, lost: [] });
  expect(await site.served()).toEqual(before);
});

test('where ledger and notes agree nothing changes', async () => {
  await using site = await Site.withImage();
  const before = await site.served();
  expect(await site.restore(false)).toEqual({ repositories: 1, manifests: 2, tags: 1, lost: [] });
  expect(await site.restore(true)).toEqual({ repositories: 1, manifests: 2, tags: 1, lost: [] });
  expect(await site.served()).toEqual(before);
});

test('what the ledger has and no note confirms is not served any more', async () => {
  await using site = await Site.withImage();
  const unnoted = manifestOf({ annotations: { pushed: 'but not noted' } });
  await site.push(app, unnoted, { noted: false });
  await site.index.setHostedTag(app, tagNamed('unnoted'), digestOf(image), 7);
  await site.push(other, image, { noted: false });
  await site.index.setHostedTag(other, latest, digestOf(image), 7);
  await site.restore(false);
  expect(await site.ledger.isLinked(app, digestOf(unnoted))).toBe(false);
  expect((await site.index.hostedTags(app)).map(({ tag }) => tag)).toEqual([latest]);
  expect(await site.ledger.tag(app, tagNamed('unnoted'))).toBeUndefined();
  expect(await site.index.hostedManifests(other)).toEqual([]);
  expect(await site.index.hostedTags(other)).toEqual([]);
  expect(await site.ledger.isLinked(app, digestOf(image))).toBe(true);
});

test('what was noted and not indexed is served, and a tag stands for what its note says', async () => {
  await using site = await Site.withImage();
  await site.index.unlink(app, digestOf(image));
  await site.index.setHostedTag(app, latest, digestOf(signature), 50);
  expect(await site.restore(false)).toMatchObject({ lost: [] });
  expect(await site.ledger.isLinked(app, digestOf(image))).toBe(true);
  expect(await site.ledger.tag(app, latest)).toEqual({ digest: digestOf(image), checkedAt: 6 });
});

test('notes that somebody removed are written anew from the ledger, which loses nothing', async () => {
  await using site = await Site.withImage();
  const before = await site.served();
  site.files.stop();
  await rm(site.layout.hosted, { recursive: true });
  expect(await site.start()).toEqual([]);
  expect(await site.served()).toEqual(before);
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await site.start();
  expect(await site.restore(true)).toMatchObject({ manifests: 2, tags: 1, lost: [] });
  expect(await site.served()).toEqual(before);
});

/** Of the tag and of one of the manifests. */
async function damageNotes(site: Site): Promise<void> {
  await writeFile(site.notePath('_tags', latest), 'no json');
  await writeFile(site.notePath('_manifests', fileNameOf(digestOf(signature))), '');
}

test('a note that cannot be read costs nothing while the ledger knows what it noted: it is written anew', async () => {
  await using site = await Site.withImage();
  await damageNotes(site);
  expect(await site.restore(false)).toMatchObject({ manifests: 2, tags: 1, lost: [] });
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await site.start();
  expect(await site.restore(true)).toMatchObject({ manifests: 2, tags: 1, lost: [] });
  expect((await site.ledger.tag(app, latest))?.digest).toBe(digestOf(image));
});

test('a note that cannot be read, of which the ledger knows nothing any more, is told', async () => {
  await using site = await Site.withImage();
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await damageNotes(site);
  await site.start();
  const { lost, manifests, tags } = await site.restore(true);
  expect({ manifests, tags }).toEqual({ manifests: 1, tags: 0 });
  expect([...lost].sort()).toEqual([
    `hosted/local/app/_manifests/${fileNameOf(digestOf(signature))} could not be read: what it noted is not served.`,
    'hosted/local/app/_tags/latest could not be read: what it noted is not served.',
  ]);
  expect(await site.ledger.tag(app, latest)).toBeUndefined();
  expect(await site.ledger.isLinked(app, digestOf(image))).toBe(true);
});

test.each([
  ['gone', (path: string) => rm(path)],
  ['too short', (path: string) => truncate(path, 3)],
])('a layer that is %s is told, and the rest is served', async (_, spoil) => {
  await using site = await Site.withImage();
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await spoil(site.layout.blob(digestOf(layer)));
  await site.start();
  const { lost } = await site.restore(true);
  expect([...lost].sort()).toEqual(
    [image, signature].map((bytes) => `The hosted local/app@${digestOf(bytes)} lacks ${digestOf(layer)}.`).sort(),
  );
  expect(await site.ledger.tag(app, latest)).toMatchObject({ digest: digestOf(image) });
  expect(await site.ledger.isLinked(app, digestOf(layer))).toBe(false);
  expect(await site.ledger.blob(digestOf(layer))).toBeUndefined();
  expect(await site.ledger.isLinked(app, digestOf(config))).toBe(true);
});

test.each([
  ['gone', (path: string) => rm(path)],
  ['not what its digest says', (path: string) => writeFile(path, image.toString().replace('layer', 'layre'))],
])('a manifest that is %s is told, with the tag that stands for it', async (_, spoil) => {
  await using site = await Site.withImage();
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await spoil(site.layout.blob(digestOf(image)));
  await site.start();
  const { lost } = await site.restore(true);
  expect([...lost].sort()).toEqual([
    `The hosted local/app:latest stands for ${digestOf(image)}, which is not there.`,
    `The hosted local/app@${digestOf(image)} has no manifest under blobs/ any more, or a damaged one.`,
  ]);
  expect(await site.ledger.manifest(digestOf(image))).toBeUndefined();
  expect(await site.ledger.isLinked(app, digestOf(signature))).toBe(true);
});

test('a tag whose manifest was never noted is told', async () => {
  await using site = await Site.withImage();
  const nowhere = digestNamed('never pushed');
  await site.notes.putTag(app.name, { tag: tagNamed('dangling'), digest: nowhere, pushedAt: 6 });
  expect((await site.restore(false)).lost).toEqual([
    `The hosted local/app:dangling stands for ${nowhere}, which is not there.`,
  ]);
});

test('a manifest that an upstream gave too is held by the repository again, and hosted', async () => {
  await using site = await Site.withImage();
  const upstream = repositoryNamed('docker.io/library/app');
  await site.files.loseLedger();
  await rm(site.files.path('journal.ndjson'));
  await site.files.start(site.store);
  const children = childrenOf(image, imageType);
  if (!children.ok) throw new Error('the manifest cannot be read');
  const record = { ...described(image), isPublic: true, storedAt: 1, mediaType: imageType };
  await site.files.ledger.addManifest(record, children.value, upstream);
  site.files.stop();
  await site.start();
  expect(await site.ledger.isLinked(app, digestOf(image))).toBe(true);
  for (const bytes of everything) expect(await site.ledger.blob(digestOf(bytes))).toMatchObject({ isHosted: true });
});
