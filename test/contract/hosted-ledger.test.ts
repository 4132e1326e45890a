import { describe, expect, test } from 'vitest';
import type { HostedLedger } from '../../src/hosted/ports.ts';
import { HostedIndex } from '../../src/ledger/hosted-index.ts';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import type { Ledger } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Child } from '../../src/oci/manifest.ts';
import { hosted, type Repository } from '../../src/oci/repository-name.ts';
import { LedgerFiles } from '../support/ledger-files.ts';
import { digestNamed, repositoryNamed, tagNamed } from './words.ts';

const app: Repository = { registry: hosted, name: repositoryNamed('x/local/app').name };
const other: Repository = { registry: hosted, name: repositoryNamed('x/local/other').name };
const upstream = repositoryNamed('docker.io/library/app');
const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const latest = tagNamed('latest');
const never = Number.MAX_SAFE_INTEGER;
const isHosted = { isHosted: true };

interface Site {
  readonly ledger: Ledger;
  readonly index: HostedLedger;
}

/** As a daemon has it; after each scenario the totals are those of the rows. */
function scenario(title: string, run: (site: Site) => Promise<void>): void {
  test(title, async () => {
    await using files = await LedgerFiles.start({ inMemory: true });
    const ledger = new HotLedger(files.ledger);
    const index = new HostedIndex({ sqlite: files.sqlite, journal: files.journal, hot: ledger });
    await run({ ledger, index });
    const rows = await ledger.blobs({ limit: 1_000 });
    const hostedRows = rows.filter((row) => row.isHosted);
    const bytes = (of: typeof rows) => of.reduce((sum, { size }) => sum + size, 0);
    expect(await ledger.totals()).toEqual({
      blobs: rows.length,
      bytes: bytes(rows),
      hostedBlobs: hostedRows.length,
      hostedBytes: bytes(hostedRows),
    });
  });
}

function blob(text: string, storedAt = 10) {
  return { digest: digestNamed(text), size: text.length, storedAt };
}

function child(text: string, kind: Child['kind'] = 'blob'): Child {
  return { digest: digestNamed(text), size: text.length, kind };
}

/** An image of these layers, all held by the repository. */
async function push(
  { index }: Site,
  text: string,
  layers: readonly string[],
  { repository = app, subject }: { readonly repository?: Repository; readonly subject?: string } = {},
): Promise<Digest> {
  for (const layer of layers) await index.addUpload(repository, blob(layer));
  const referrer =
    subject === undefined
      ? undefined
      : { subject: digestNamed(subject), artifactType: `type/${text}`, annotations: { of: text } };
  const children = layers.map((layer) => child(layer));
  await index.addHostedManifest(repository, { ...blob(text), mediaType }, { children, referrer });
  return digestNamed(text);
}

/** An image from an upstream. */
async function pull({ ledger }: Site, text: string, layers: readonly string[], stored = layers): Promise<void> {
  for (const layer of stored) await ledger.addBlob({ ...blob(layer), isPublic: true }, upstream);
  const record = { ...blob(text), isPublic: true, mediaType };
  await ledger.addManifest(
    record,
    layers.map((layer) => child(layer)),
    upstream,
  );
}

const unheldDigests = async ({ index }: Site, before = never) =>
  (await index.unheld({ before, after: undefined, limit: 100 })).map(({ digest }) => digest);

const strays = async ({ index }: Site, before = never) =>
  (await index.strayLinks({ before, after: undefined, limit: 100 })).map(({ repository, digest }) => [
    repository.name,
    digest,
  ]);

describe('holding', () => {
  scenario('an upload is hosted and held, by its repository only', async ({ ledger, index }) => {
    expect(await ledger.isLinked(app, digestNamed('layer'))).toBe(false);
    expect(await index.addUpload(app, blob('layer'))).toEqual(isHosted);
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({
      ...blob('layer'),
      isHosted: true,
      isPublic: false,
    });
    expect(await ledger.isLinked(app, digestNamed('layer'))).toBe(true);
    expect(await ledger.isLinked(other, digestNamed('layer'))).toBe(false);
    expect(await ledger.totals()).toMatchObject({ hostedBlobs: 1, hostedBytes: 5 });
  });

  scenario('a mount hosts what was cached, also for those who have just asked', async ({ ledger, index }) => {
    await ledger.addBlob({ ...blob('layer'), isPublic: true }, upstream);
    expect((await ledger.blob(digestNamed('layer')))?.isHosted).toBe(false);
    expect(await ledger.isLinked(app, digestNamed('layer'))).toBe(false);
    expect(await index.addMount(app, digestNamed('layer'), 20)).toEqual(isHosted);
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({ isHosted: true, isPublic: true });
    expect(await ledger.isLinked(app, digestNamed('layer'))).toBe(true);
    expect(await ledger.leastUsed({ limit: 10 })).toEqual([]);
    expect(await ledger.evict(digestNamed('layer'), new Set())).toEqual([]);
  });

  scenario('what is fetched from an upstream and held here is hosted', async ({ ledger, index }) => {
    await index.addUpload(app, blob('layer'));
    await ledger.forget(digestNamed('layer'));
    expect(await ledger.blob(digestNamed('layer'))).toBeUndefined();
    const record = await ledger.addBlob({ ...blob('layer'), isPublic: true }, upstream);
    expect(record).toMatchObject({ isHosted: true });
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({ isHosted: true });
    const manifest = await index.addHostedManifest(
      app,
      { ...blob('image'), mediaType },
      { children: [], referrer: undefined },
    );
    expect(manifest).toEqual(isHosted);
    await ledger.forget(digestNamed('image'));
    expect(await ledger.addManifest({ ...blob('image'), isPublic: true, mediaType }, [], upstream)).toMatchObject({
      isHosted: true,
    });
    await ledger.forget(digestNamed('layer'));
    expect(await ledger.adoptBlob(blob('layer'))).toMatchObject({ isHosted: true });
  });

  scenario('what a cached image shares with a hosted one stays when the cached one goes', async (site) => {
    const { ledger } = site;
    await push(site, 'hosted image', ['base']);
    await pull(site, 'cached image', ['base', 'own']);
    const gone = await ledger.evict(digestNamed('cached image'), new Set());
    expect(gone.map(({ digest }) => digest).sort()).toEqual([digestNamed('cached image'), digestNamed('own')].sort());
    expect(await ledger.blob(digestNamed('base'))).toMatchObject({ isHosted: true });
  });

  scenario('those that a repository does not hold are named, a blob where a manifest should be too', async (site) => {
    const { index, ledger } = site;
    await push(site, 'image', ['layer']);
    await index.addUpload(other, blob('elsewhere'));
    await ledger.addBlob({ ...blob('cached'), isPublic: true }, upstream);
    const children = [
      child('layer'),
      child('image', 'manifest'),
      child('layer', 'manifest'),
      child('elsewhere'),
      child('cached'),
      child('nowhere'),
    ];
    expect(await index.notHeld(app, children)).toEqual(
      ['layer', 'elsewhere', 'cached', 'nowhere'].map((text) => digestNamed(text)),
    );
    await ledger.forget(digestNamed('image'));
    expect(await index.notHeld(app, [child('image', 'manifest')])).toEqual([digestNamed('image')]);
  });

  scenario(
    'what is unlinked is not held any more, and its tags go, for those who have just asked too',
    async (site) => {
      const { index, ledger } = site;
      const digest = await push(site, 'image', ['layer']);
      await push(site, 'image', ['layer'], { repository: other });
      const kept = await push(site, 'kept', []);
      await index.setHostedTag(app, latest, digest, 30);
      await index.setHostedTag(app, tagNamed('kept'), kept, 30);
      await index.setHostedTag(other, latest, digest, 30);
      expect(await ledger.tag(app, latest)).toMatchObject({ digest });
      expect(await ledger.isLinked(app, digest)).toBe(true);
      await index.unlink(app, digest);
      expect(await ledger.isLinked(app, digest)).toBe(false);
      expect(await ledger.tag(app, latest)).toBeUndefined();
      expect(await ledger.tag(app, tagNamed('kept'))).toMatchObject({ digest: kept });
      expect(await ledger.tag(other, latest)).toMatchObject({ digest });
      expect(await ledger.isLinked(other, digest)).toBe(true);
      expect(await ledger.manifest(digest)).toMatchObject({ isHosted: true });
    },
  );
});

describe('tags', () => {
  scenario('are set, moved and removed, for those who have just asked too', async (site) => {
    const { index, ledger } = site;
    const [first, second] = [await push(site, 'one', []), await push(site, 'two', [])];
    expect(await ledger.tag(app, latest)).toBeUndefined();
    await index.setHostedTag(app, latest, first, 30);
    expect(await ledger.tag(app, latest)).toEqual({ digest: first, checkedAt: 30 });
    await index.setHostedTag(app, latest, second, 40);
    expect(await ledger.tag(app, latest)).toEqual({ digest: second, checkedAt: 40 });
    await index.setHostedTag(app, tagNamed('a'), first, 50);
    expect(await index.hostedTags(app)).toEqual([
      { tag: 'a', digest: first, pushedAt: 50 },
      { tag: 'latest', digest: second, pushedAt: 40 },
    ]);
    expect(await ledger.tags(app, { limit: 10 })).toEqual(['a', 'latest']);
    await index.removeHostedTag(app, latest);
    expect(await ledger.tag(app, latest)).toBeUndefined();
    await index.removeHostedTag(app, latest);
    expect(await index.hostedTags(app)).toHaveLength(1);
    expect(await index.hostedTags(other)).toEqual([]);
  });

  scenario('manifests and repositories are those of what is held', async (site) => {
    const { index } = site;
    expect(await index.hostedRepositories()).toEqual([]);
    const digests = [await push(site, 'one', ['layer']), await push(site, 'two', [])].sort();
    await index.addUpload(other, blob('layer'));
    await pull(site, 'cached', ['layer']);
    expect(await index.hostedManifests(app)).toEqual(digests);
    expect(await index.hostedManifests(other)).toEqual([]);
    expect(await index.hostedRepositories()).toEqual([app.name, other.name]);
  });
});

describe('referrers', () => {
  const none = { artifactType: undefined, after: undefined, limit: 100 };

  scenario('are those of the repository, by digest, with what they say of themselves', async (site) => {
    const { index } = site;
    for (const text of ['signature', 'sbom']) await push(site, text, [], { subject: 'image' });
    await push(site, 'elsewhere', [], { subject: 'image', repository: other });
    await push(site, 'of another', [], { subject: 'other image' });
    const found = await index.referrers(app, digestNamed('image'), none);
    const expected = ['signature', 'sbom'].map((text) => ({
      digest: digestNamed(text),
      size: text.length,
      mediaType,
      artifactType: `type/${text}`,
      annotations: { of: text },
    }));
    expect(found).toEqual(expected.sort((one, two) => (one.digest < two.digest ? -1 : 1)));
    await index.unlink(app, digestNamed('sbom'));
    expect(await index.referrers(app, digestNamed('image'), none)).toMatchObject([
      { digest: digestNamed('signature') },
    ]);
  });

  scenario('come in pages, of one type where that is asked for', async (site) => {
    const { index } = site;
    const texts = Array.from({ length: 7 }, (_, at) => `signature ${at}`);
    for (const text of texts) await push(site, text, [], { subject: 'image' });
    const found: Digest[] = [];
    for (let after: Digest | undefined; ; after = found.at(-1)) {
      const page = await index.referrers(app, digestNamed('image'), { ...none, after, limit: 3 });
      found.push(...page.map(({ digest }) => digest));
      if (page.length < 3) break;
    }
    expect(found).toEqual(texts.map(digestNamed).sort());
    const artifactType = 'type/signature 4';
    expect(await index.referrers(app, digestNamed('image'), { ...none, artifactType })).toMatchObject([
      { digest: digestNamed('signature 4') },
    ]);
  });

  scenario('that say nothing of themselves have nothing said of them', async ({ index }) => {
    const referrer = { subject: digestNamed('image'), artifactType: undefined, annotations: undefined };
    await index.addHostedManifest(app, { ...blob('bare'), mediaType }, { children: [], referrer });
    const [entry] = await index.referrers(app, digestNamed('image'), none);
    expect([entry?.artifactType, entry?.annotations]).toEqual([undefined, undefined]);
  });
});

describe('what may go', () => {
  scenario('a manifest without a tag, an index or a subject, that nobody used', async (site) => {
    const { index, ledger } = site;
    const loose = await push(site, 'loose', []);
    const tagged = await push(site, 'tagged', []);
    await index.setHostedTag(app, latest, tagged, 30);
    const listed = await push(site, 'listed', []);
    await index.addHostedManifest(
      app,
      { ...blob('index'), mediaType },
      { children: [child('listed', 'manifest')], referrer: undefined },
    );
    await index.setHostedTag(app, tagNamed('index'), digestNamed('index'), 30);
    await push(site, 'signature', [], { subject: 'tagged' });
    const orphan = await push(site, 'orphaned signature', [], { subject: 'gone' });
    expect(await index.untagged(app, never)).toEqual([loose, orphan].sort());
    expect(await index.untagged(app, 10)).toEqual([]);
    ledger.touch(loose, 1_000);
    expect(await index.untagged(app, 1_000)).toEqual([orphan]);
    await index.unlink(app, digestNamed('index'));
    expect(await index.untagged(app, 1_000)).toEqual([listed, orphan].sort());
  });

  scenario('a blob that no manifest of the repository needs, in pages, and only while that is so', async (site) => {
    const { index, ledger } = site;
    await push(site, 'image', ['needed']);
    await index.addUpload(app, blob('stray'));
    await index.addUpload(other, blob('needed'));
    expect(await strays(site)).toEqual([
      [app.name, digestNamed('stray')],
      [other.name, digestNamed('needed')],
    ]);
    expect(await strays(site, 10)).toEqual([]);
    const first = { repository: app, digest: digestNamed('stray') };
    expect(await index.strayLinks({ before: never, after: undefined, limit: 1 })).toEqual([{ ...first, size: 5 }]);
    expect(await index.strayLinks({ before: never, after: first, limit: 1 })).toMatchObject([{ repository: other }]);
    ledger.touch(digestNamed('stray'), 1_000);
    expect(await index.dropStray(app, digestNamed('stray'), 1_000)).toBe(false);
    expect(await index.dropStray(app, digestNamed('needed'), never)).toBe(false);
    expect(await index.dropStray(app, digestNamed('image'), never)).toBe(false);
    expect(await ledger.isLinked(app, digestNamed('stray'))).toBe(true);
    expect(await index.dropStray(app, digestNamed('stray'), never)).toBe(true);
    expect(await ledger.isLinked(app, digestNamed('stray'))).toBe(false);
    expect(await index.dropStray(app, digestNamed('stray'), never)).toBe(false);
  });

  scenario('what no repository holds is unheld, in digest order and in pages', async (site) => {
    const { index } = site;
    const digests = ['a', 'b', 'c'].map(digestNamed).sort();
    for (const text of ['a', 'b', 'c', 'held']) await index.addUpload(app, blob(text));
    for (const digest of digests) await index.unlink(app, digest);
    expect(await unheldDigests(site)).toEqual(digests);
    expect(await unheldDigests(site, 10)).toEqual([]);
    expect((await index.unheld({ before: never, after: digests[0], limit: 1 })).map(({ digest }) => digest)).toEqual([
      digests[1],
    ]);
  });
});

describe('taking back', () => {
  scenario('what nothing needs is gone, for those who have just asked too', async (site) => {
    const { index, ledger } = site;
    const digest = await push(site, 'image', ['layer']);
    await index.unlink(app, digest);
    expect(await ledger.manifest(digest)).toBeDefined();
    expect(await index.takeBack(digest, never, true)).toBe('gone');
    expect(await ledger.manifest(digest)).toBeUndefined();
    expect(await ledger.blob(digest)).toBeUndefined();
    expect(await ledger.blob(digestNamed('layer'))).toBeDefined();
    expect(await index.takeBack(digest, never, true)).toBe('hosted');
    await index.dropStray(app, digestNamed('layer'), never);
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('gone');
    expect(await ledger.totals()).toMatchObject({ blobs: 0, hostedBlobs: 0 });
  });

  scenario('what an upstream is known to have is cached', async ({ ledger, index }) => {
    await ledger.addBlob({ ...blob('layer'), isPublic: true }, upstream);
    await index.addMount(app, digestNamed('layer'), 20);
    await index.unlink(app, digestNamed('layer'));
    expect((await ledger.blob(digestNamed('layer')))?.isHosted).toBe(true);
    expect(await index.takeBack(digestNamed('layer'), never, false)).toBe('needs room');
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('cached');
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({ isHosted: false, isPublic: true });
    expect(await ledger.leastUsed({ limit: 10 })).toMatchObject([{ digest: digestNamed('layer') }]);
  });

  scenario('what a cached image needs is cached', async (site) => {
    const { ledger, index } = site;
    await pull(site, 'cached image', ['layer'], []);
    await index.addUpload(app, blob('layer'));
    await index.unlink(app, digestNamed('layer'));
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('cached');
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({ isHosted: false });
  });

  scenario('what another hosted image lists stays hosted until that is gone', async (site) => {
    const { index } = site;
    const image = await push(site, 'image', ['layer']);
    await index.unlink(app, image);
    await index.unlink(app, digestNamed('layer'));
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('hosted');
    expect(await index.takeBack(image, never, true)).toBe('gone');
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('gone');
  });

  scenario('what is held, or was used since, stays hosted', async (site) => {
    const { index, ledger } = site;
    await index.addUpload(app, blob('layer'));
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('hosted');
    await index.unlink(app, digestNamed('layer'));
    ledger.touch(digestNamed('layer'), 1_000);
    expect(await index.takeBack(digestNamed('layer'), 1_000, true)).toBe('hosted');
    expect(await index.takeBack(digestNamed('layer'), 1_001, true)).toBe('gone');
  });

  scenario('what is cached is none of its business', async ({ ledger, index }) => {
    await ledger.addBlob({ ...blob('layer'), isPublic: true }, upstream);
    expect(await index.takeBack(digestNamed('layer'), never, true)).toBe('hosted');
    expect(await ledger.blob(digestNamed('layer'))).toMatchObject({ isHosted: false });
  });
});
