import { describe, expect, test } from 'vitest';
import type {
  BlobRecord,
  ImageName,
  Ledger,
  Listing,
  ManifestRecord,
  Name,
  RepositorySearch,
  Unreferenced,
} from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Child } from '../../src/oci/manifest.ts';
import { type Repository, repositoryText } from '../../src/oci/repository-name.ts';
import { digestNamed, repositoryNamed, tagNamed } from './words.ts';

/** One place where a ledger lies; `ledger` is that of the latest opening. */
export interface LedgerPlace extends AsyncDisposable {
  readonly ledger: Ledger;
}

const app = repositoryNamed('docker.io/library/app');
const other = repositoryNamed('docker.io/library/other');
const elsewhere = repositoryNamed('ghcr.io/library/app');
const latest = tagNamed('latest');
const nothing: ReadonlySet<Digest> = new Set();

const indexType = 'application/vnd.oci.image.index.v1+json';
const imageType = 'application/vnd.oci.image.manifest.v1+json';

/** What every {@link Ledger} promises. */
export function ledgerContract(name: string, open: () => LedgerPlace | Promise<LedgerPlace>): void {
  function scenario(title: string, run: (ledger: Ledger) => Promise<void>): void {
    test(title, async () => {
      await using place = await open();
      await run(place.ledger);
    });
  }

  describe(`${name}: blobs`, () => {
    scenario('what was recorded is known, and what was not is not', async (ledger) => {
      expect(await ledger.blob(digestNamed('a'))).toBeUndefined();
      const record = blobNamed('a', { size: 2 ** 40, storedAt: 1_700_000_000_123 });
      await ledger.addBlob(record, app);
      expect(await ledger.blob(record.digest)).toEqual(record);
      expect(await ledger.blob(digestNamed('b'))).toBeUndefined();
      expect(await ledger.manifest(record.digest)).toBeUndefined();
    });

    scenario('a blob stored anew has its new time', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { storedAt: 1 }), app);
      await ledger.addBlob(blobNamed('a', { storedAt: 2 }), app);
      expect((await ledger.blob(digestNamed('a')))?.storedAt).toBe(2);
    });

    scenario('a public blob never becomes private again, whoever stores it and however', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { isPublic: true }), app);
      await ledger.addBlob(blobNamed('a', { isPublic: false }), other);
      await ledger.addBlob(blobNamed('a', { isPublic: false }), undefined);
      await ledger.link(other, { digest: digestNamed('a'), isPublic: false }, 5);
      await ledger.addManifest(manifestNamed('a', { isPublic: false }), [], other);
      expect((await ledger.blob(digestNamed('a')))?.isPublic).toBe(true);
      expect((await ledger.manifest(digestNamed('a')))?.isPublic).toBe(true);
    });

    scenario('a private blob is public once it was given to everybody', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { isPublic: false }), app);
      expect((await ledger.blob(digestNamed('a')))?.isPublic).toBe(false);
      await ledger.link(other, { digest: digestNamed('a'), isPublic: true }, 5);
      expect((await ledger.blob(digestNamed('a')))?.isPublic).toBe(true);
    });

    scenario('what is forgotten is gone, and its links stay true', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { isPublic: true }), app);
      await ledger.forget(digestNamed('a'));
      expect(await ledger.blob(digestNamed('a'))).toBeUndefined();
      expect(await ledger.isLinked(app, digestNamed('a'))).toBe(true);
      await ledger.forget(digestNamed('never there'));
    });

    scenario('what was stored anew is not forgotten by who knew the one before', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { storedAt: 1 }), app);
      await ledger.addBlob(blobNamed('a', { storedAt: 2 }), app);
      expect(await ledger.forget(digestNamed('a'), { storedAt: 1, isHosted: false })).toBe(false);
      expect(await ledger.blob(digestNamed('a'))).toBeDefined();
      expect(await ledger.forget(digestNamed('a'), { storedAt: 2, isHosted: false })).toBe(true);
    });

    scenario('what is adopted is public if an upstream gave it to everybody, and else is not', async (ledger) => {
      await ledger.link(app, { digest: digestNamed('everybody’s'), isPublic: true }, 1);
      await ledger.link(app, { digest: digestNamed('an account’s'), isPublic: false }, 1);
      for (const text of ['everybody’s', 'an account’s', 'unknown']) {
        await ledger.adoptBlob({ digest: digestNamed(text), size: 1, storedAt: 2 });
      }
      const adopted = ['everybody’s', 'an account’s', 'unknown'].map((text) => ledger.blob(digestNamed(text)));
      expect((await Promise.all(adopted)).map((blob) => blob?.isPublic)).toEqual([true, false, false]);
    });

    scenario('what was forgotten and stored again for an account only is private', async (ledger) => {
      await ledger.addBlob(blobNamed('a', { isPublic: true }), app);
      await ledger.forget(digestNamed('a'));
      await ledger.addBlob(blobNamed('a', { isPublic: false }), other);
      expect((await ledger.blob(digestNamed('a')))?.isPublic).toBe(false);
    });
  });

  describe(`${name}: manifests`, () => {
    scenario('a manifest is a blob too, with its type', async (ledger) => {
      const record = manifestNamed('m');
      await ledger.addManifest(record, [], app);
      expect(await ledger.manifest(record.digest)).toEqual(record);
      const { mediaType, ...blob } = record;
      expect(mediaType).toBe(imageType);
      expect(await ledger.blob(record.digest)).toEqual(blob);
      expect(await ledger.isLinked(app, record.digest)).toBe(true);
    });

    scenario('a manifest whose bytes are gone is none, and can be stored again', async (ledger) => {
      await ledger.addManifest(manifestNamed('m'), [childBlob('layer')], app);
      await ledger.setTag(app, latest, digestNamed('m'), 1);
      await ledger.forget(digestNamed('m'));
      expect(await ledger.manifest(digestNamed('m'))).toBeUndefined();
      expect(await ledger.statedSize(app, digestNamed('layer'))).toBeUndefined();
      expect((await ledger.tag(app, latest))?.digest).toBe(digestNamed('m'));
      await ledger.addManifest(manifestNamed('m'), [childBlob('layer')], app);
      expect(await ledger.statedSize(app, digestNamed('layer'))).toBe(5);
    });

    scenario('what was stored as a blob becomes a manifest when it is pulled as one', async (ledger) => {
      await ledger.addBlob(blobNamed('m'), app);
      await ledger.addManifest(manifestNamed('m'), [childBlob('layer')], app);
      expect((await ledger.manifest(digestNamed('m')))?.mediaType).toBe(imageType);
      expect(await ledger.statedSize(app, digestNamed('layer'))).toBe(5);
    });

    scenario('a manifest stored twice has each child once', async (ledger) => {
      const children = [childBlob('config'), childBlob('layer')];
      await ledger.addManifest(manifestNamed('m'), children, app);
      await ledger.addManifest(manifestNamed('m'), children, other);
      for (const repository of [app, other]) expect(await ledger.statedSize(repository, digestNamed('layer'))).toBe(5);
    });

    scenario(
      'a size is stated by manifests that the repository was proved to hold, and by no others',
      async (ledger) => {
        await ledger.addManifest(manifestNamed('m'), [childBlob('layer')], app);
        expect(await ledger.statedSize(app, digestNamed('layer'))).toBe(5);
        for (const stranger of [other, elsewhere])
          expect(await ledger.statedSize(stranger, digestNamed('layer'))).toBeUndefined();
        expect(await ledger.statedSize(app, digestNamed('m'))).toBeUndefined();
        await ledger.link(other, { digest: digestNamed('m'), isPublic: false }, 1);
        expect(await ledger.statedSize(other, digestNamed('layer'))).toBe(5);
        expect(await ledger.statedSize(elsewhere, digestNamed('layer'))).toBeUndefined();
      },
    );

    scenario('a manifest that names a digest proves nothing about it', async (ledger) => {
      await ledger.addManifest(manifestNamed('m'), [childBlob('layer')], app);
      expect(await ledger.isLinked(app, digestNamed('layer'))).toBe(false);
      expect(await ledger.blob(digestNamed('layer'))).toBeUndefined();
    });

    scenario('many children are no trouble', async (ledger) => {
      const children = Array.from({ length: 5_000 }, (_, index) => childBlob(`layer ${index}`));
      await ledger.addManifest(manifestNamed('m'), children, app);
      expect(await ledger.statedSize(app, digestNamed('layer 4999'))).toBe('layer 4999'.length);
    });
  });

  describe(`${name}: links and visibility`, () => {
    scenario('a link is of one repository of one registry', async (ledger) => {
      await ledger.link(app, { digest: digestNamed('a'), isPublic: false }, 1);
      await ledger.link(app, { digest: digestNamed('a'), isPublic: false }, 2);
      expect(await ledger.isLinked(app, digestNamed('a'))).toBe(true);
      expect(await ledger.isLinked(app, digestNamed('b'))).toBe(false);
      expect(await ledger.isLinked(other, digestNamed('a'))).toBe(false);
      expect(await ledger.isLinked(elsewhere, digestNamed('a'))).toBe(false);
    });

    scenario('what is adopted without a repository is linked to none', async (ledger) => {
      await ledger.addBlob(blobNamed('a'), undefined);
      expect(await ledger.isLinked(app, digestNamed('a'))).toBe(false);
      expect(await ledger.visibility(app)).toBeUndefined();
    });

    scenario('nothing is known of a repository that was never seen', async (ledger) => {
      expect(await ledger.visibility(app)).toBeUndefined();
    });

    scenario('an answer to everybody makes the repository public, at the time it was given', async (ledger) => {
      await ledger.setVisibility(app, false, 1);
      expect(await ledger.visibility(app)).toEqual({ isPublic: false, checkedAt: 1 });
      await ledger.link(app, { digest: digestNamed('a'), isPublic: true }, 2);
      expect(await ledger.visibility(app)).toEqual({ isPublic: true, checkedAt: 2 });
      await ledger.setVisibility(app, false, 3);
      await ledger.addBlob(blobNamed('b', { isPublic: true, storedAt: 4 }), app);
      expect(await ledger.visibility(app)).toEqual({ isPublic: true, checkedAt: 4 });
      await ledger.setVisibility(app, false, 5);
      await ledger.addManifest(manifestNamed('m', { isPublic: true, storedAt: 6 }), [], app);
      expect(await ledger.visibility(app)).toEqual({ isPublic: true, checkedAt: 6 });
      expect(await ledger.visibility(other)).toBeUndefined();
    });

    scenario('an answer to an account says nothing about everybody', async (ledger) => {
      await ledger.setVisibility(app, true, 1);
      await ledger.link(app, { digest: digestNamed('a'), isPublic: false }, 2);
      await ledger.addBlob(blobNamed('b', { isPublic: false }), app);
      expect(await ledger.visibility(app)).toEqual({ isPublic: true, checkedAt: 1 });
    });
  });

  describe(`${name}: tags`, () => {
    scenario('a tag is of one repository, moves, and can be removed', async (ledger) => {
      expect(await ledger.tag(app, latest)).toBeUndefined();
      await ledger.addManifest(manifestNamed('a'), [], app);
      await ledger.addManifest(manifestNamed('b'), [], app);
      expect(await ledger.setTag(app, latest, digestNamed('a'), 10)).toEqual({
        digest: digestNamed('a'),
        checkedAt: 10,
      });
      expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('a'), checkedAt: 10 });
      expect(await ledger.tag(other, latest)).toBeUndefined();
      expect(await ledger.tag(elsewhere, latest)).toBeUndefined();
      expect(await ledger.tag(app, tagNamed('Latest'))).toBeUndefined();
      await ledger.setTag(app, latest, digestNamed('b'), 20);
      expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('b'), checkedAt: 20 });
      await ledger.removeTag(other, latest);
      expect(await ledger.tag(app, latest)).toBeDefined();
      await ledger.removeTag(app, latest);
      expect(await ledger.tag(app, latest)).toBeUndefined();
      expect(await ledger.settleTag(app, latest)).toBeUndefined();
    });

    scenario('a tag can be set before its manifest is stored, and is not listed then', async (ledger) => {
      await ledger.setTag(app, latest, digestNamed('not here'), 1);
      expect((await ledger.tag(app, latest))?.digest).toBe(digestNamed('not here'));
      expect(await ledger.tags(app, { limit: 10 })).toEqual([]);
    });

    scenario('tags come in byte order and in pages that miss none and repeat none', async (ledger) => {
      const names = ['1.0', '1.10', '1.2', 'A', 'Z', '_', 'a', 'latest', 'z'];
      for (const repository of [app, other]) {
        await ledger.addManifest(manifestNamed('m'), [], repository);
        for (const tag of names) await ledger.setTag(repository, tagNamed(tag), digestNamed('m'), 1);
      }
      await ledger.setTag(other, tagNamed('other-only'), digestNamed('m'), 1);
      expect(await ledger.tags(app, { limit: 100 })).toEqual(names);
      for (const limit of [1, 2, 4]) {
        const paged: string[] = [];
        for (;;) {
          const after = paged.at(-1);
          const page = await ledger.tags(app, { limit, ...(after === undefined ? {} : { after }) });
          expect(page.length).toBeLessThanOrEqual(limit);
          if (page.length === 0) break;
          paged.push(...page);
        }
        expect(paged).toEqual(names);
      }
      // A place that is no tag at all is a place in the order all the same.
      expect(await ledger.tags(app, { limit: 2, after: '1.1' })).toEqual(['1.10', '1.2']);
      expect(await ledger.tags(app, { limit: 2, after: 'zz' })).toEqual([]);
    });
  });

  describe(`${name}: the digest that is kept for the time without an upstream`, () => {
    scenario('a complete image stays until the new one is complete too', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['base', 'old layer'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'new', { layers: ['base', 'new layer'], missing: ['new layer'] });
      const moved = { digest: digestNamed('new'), checkedAt: 2, fallback: digestNamed('old') };
      expect(await ledger.setTag(app, latest, digestNamed('new'), 2)).toEqual(moved);
      expect(await ledger.tag(app, latest)).toEqual(moved);
      expect(await ledger.settleTag(app, latest)).toEqual(moved);

      await ledger.addBlob(blobNamed('new layer'), app);
      const settled = { digest: digestNamed('new'), checkedAt: 2 };
      expect(await ledger.settleTag(app, latest)).toEqual(settled);
      expect(await ledger.tag(app, latest)).toEqual(settled);
    });

    scenario('an image that was never complete is not worth keeping', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'], missing: ['l'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'new', { layers: ['n'], missing: ['n'] });
      expect(await ledger.setTag(app, latest, digestNamed('new'), 2)).not.toHaveProperty('fallback');
    });

    scenario('nothing is kept when the new image is complete already', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'new', { layers: ['l', 'n'] });
      expect(await ledger.setTag(app, latest, digestNamed('new'), 2)).not.toHaveProperty('fallback');
    });

    scenario('it is kept over several moves to images that nobody pulled', async (ledger) => {
      await addImage(ledger, 'pulled', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('pulled'), 1);
      for (const [checkedAt, move] of ['first', 'second', 'third'].entries()) {
        await addImage(ledger, move, { layers: [`${move} layer`], missing: [`${move} layer`] });
        const record = await ledger.setTag(app, latest, digestNamed(move), checkedAt);
        expect(record.fallback).toBe(digestNamed('pulled'));
      }
      await ledger.addBlob(blobNamed('third layer'), app);
      expect(await ledger.settleTag(app, latest)).toEqual({ digest: digestNamed('third'), checkedAt: 2 });
    });

    scenario('it is kept while the unfinished tag is confirmed again and again', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'new', { layers: ['n'], missing: ['n'] });
      for (const checkedAt of [2, 3, 4]) {
        const record = await ledger.setTag(app, latest, digestNamed('new'), checkedAt);
        expect(record).toEqual({ digest: digestNamed('new'), checkedAt, fallback: digestNamed('old') });
      }
    });

    scenario('of two that were complete the newer one is kept', async (ledger) => {
      await addImage(ledger, 'first', { layers: ['a'] });
      await addImage(ledger, 'second', { layers: ['b'] });
      await addImage(ledger, 'third', { layers: ['c'], missing: ['c'] });
      await ledger.setTag(app, latest, digestNamed('first'), 1);
      await ledger.setTag(app, latest, digestNamed('second'), 2);
      expect((await ledger.setTag(app, latest, digestNamed('third'), 3)).fallback).toBe(digestNamed('second'));
    });

    scenario('a tag that moves back needs none', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await addImage(ledger, 'new', { layers: ['n'], missing: ['n'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await ledger.setTag(app, latest, digestNamed('new'), 2);
      expect(await ledger.setTag(app, latest, digestNamed('old'), 3)).not.toHaveProperty('fallback');
      expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('old'), checkedAt: 3 });
    });

    scenario('an image that lost a layer since is no longer complete', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await ledger.forget(digestNamed('l'));
      await addImage(ledger, 'new', { layers: ['n'], missing: ['n'] });
      expect(await ledger.setTag(app, latest, digestNamed('new'), 2)).not.toHaveProperty('fallback');
    });

    scenario('another repository’s tag of the same name has its own', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await addImage(ledger, 'new', { layers: ['n'], missing: ['n'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      expect(await ledger.setTag(other, latest, digestNamed('new'), 2)).not.toHaveProperty('fallback');
    });

    scenario('an index is judged platform by platform', async (ledger) => {
      await addImage(ledger, 'old amd64', { layers: ['oa'] });
      await addImage(ledger, 'old arm64', { layers: ['oi'], missing: ['oi'] });
      await addIndex(ledger, 'old', { 'old amd64': 'linux/amd64', 'old arm64': 'linux/arm64' });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'new amd64', { layers: ['na'], missing: ['na'] });
      await addImage(ledger, 'new arm64', { layers: ['ni'] });
      await addIndex(ledger, 'new', { 'new amd64': 'linux/amd64', 'new arm64': 'linux/arm64' });
      // Complete for arm64, which the old one was not; not for amd64, which the old one was.
      expect((await ledger.setTag(app, latest, digestNamed('new'), 2)).fallback).toBe(digestNamed('old'));
      await ledger.addBlob(blobNamed('na'), app);
      expect(await ledger.settleTag(app, latest)).toEqual({ digest: digestNamed('new'), checkedAt: 2 });
    });

    scenario('variants of an architecture are platforms of their own', async (ledger) => {
      await addImage(ledger, 'v6', { layers: ['6'] });
      await addIndex(ledger, 'old', { v6: 'linux/arm/v6' });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'v7', { layers: ['7'] });
      await addIndex(ledger, 'new', { v7: 'linux/arm/v7' });
      expect((await ledger.setTag(app, latest, digestNamed('new'), 2)).fallback).toBe(digestNamed('old'));
    });

    scenario('an entry whose manifest is not stored makes an index complete for nothing', async (ledger) => {
      await addImage(ledger, 'old amd64', { layers: ['oa'] });
      await addIndex(ledger, 'old', { 'old amd64': 'linux/amd64' });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addIndex(ledger, 'new', { 'new amd64': 'linux/amd64' });
      expect((await ledger.setTag(app, latest, digestNamed('new'), 2)).fallback).toBe(digestNamed('old'));
    });

    scenario(
      'attestations are no platform: they neither keep an old index nor stand in for a new one',
      async (ledger) => {
        await addImage(ledger, 'old amd64', { layers: ['oa'] });
        await addImage(ledger, 'old attestation', { layers: ['ot'] });
        await addIndex(ledger, 'old', { 'old amd64': 'linux/amd64', 'old attestation': 'unknown/unknown' });
        await ledger.setTag(app, latest, digestNamed('old'), 1);

        await addImage(ledger, 'new amd64', { layers: ['na'], missing: ['na'] });
        await addImage(ledger, 'new attestation', { layers: ['nt'] });
        await addIndex(ledger, 'new', { 'new amd64': 'linux/amd64', 'new attestation': 'unknown/unknown' });
        expect((await ledger.setTag(app, latest, digestNamed('new'), 2)).fallback).toBe(digestNamed('old'));

        // Clients pull the image and leave the attestation.
        await addImage(ledger, 'newest amd64', { layers: ['xa'] });
        await addIndex(ledger, 'newest', { 'newest amd64': 'linux/amd64', 'newest attestation': 'unknown/unknown' });
        expect(await ledger.setTag(app, latest, digestNamed('newest'), 3)).not.toHaveProperty('fallback');
      },
    );

    scenario('an index after a single image keeps the image until it is complete for some platform', async (ledger) => {
      await addImage(ledger, 'single', { layers: ['s'] });
      await ledger.setTag(app, latest, digestNamed('single'), 1);
      await addImage(ledger, 'new amd64', { layers: ['na'], missing: ['na'] });
      await addIndex(ledger, 'new', { 'new amd64': 'linux/amd64' });
      expect((await ledger.setTag(app, latest, digestNamed('new'), 2)).fallback).toBe(digestNamed('single'));
      await ledger.addBlob(blobNamed('na'), app);
      expect(await ledger.settleTag(app, latest)).not.toHaveProperty('fallback');
    });

    scenario('a single image after an index keeps the index until it is complete', async (ledger) => {
      await addImage(ledger, 'old amd64', { layers: ['oa'] });
      await addIndex(ledger, 'old', { 'old amd64': 'linux/amd64' });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addImage(ledger, 'single', { layers: ['s'], missing: ['s'] });
      expect((await ledger.setTag(app, latest, digestNamed('single'), 2)).fallback).toBe(digestNamed('old'));
      await ledger.addBlob(blobNamed('s'), app);
      expect(await ledger.settleTag(app, latest)).not.toHaveProperty('fallback');
    });

    scenario('an index without a single entry replaces nothing that works', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('old'), 1);
      await addIndex(ledger, 'empty', {});
      expect((await ledger.setTag(app, latest, digestNamed('empty'), 2)).fallback).toBe(digestNamed('old'));
    });
  });

  describe(`${name}: the list of repositories`, () => {
    const everything: Listing = {
      defaultRegistry: 'docker.io',
      registries: ['docker.io', 'ghcr.io', 'registry.lan:5000'],
      listPrivate: [],
    };

    async function addRepositories(ledger: Ledger): Promise<void> {
      for (const text of ['docker.io/library/app', 'docker.io/team/tool', 'ghcr.io/owner/app', 'registry.lan:5000/x']) {
        await ledger.addManifest(manifestNamed(text), [], repositoryNamed(text));
      }
      await ledger.addManifest(manifestNamed('s', { isPublic: false }), [], repositoryNamed('ghcr.io/owner/secret'));
    }

    scenario('has what clients would write, with no registry in front of the default one’s', async (ledger) => {
      expect(await ledger.repositories({ limit: 10 }, everything)).toEqual([]);
      await addRepositories(ledger);
      expect(await ledger.repositories({ limit: 10 }, everything)).toEqual([
        'ghcr.io/owner/app',
        'library/app',
        'registry.lan:5000/x',
        'team/tool',
      ]);
      expect(await ledger.repositories({ limit: 10 }, { ...everything, defaultRegistry: undefined })).toEqual([
        'docker.io/library/app',
        'docker.io/team/tool',
        'ghcr.io/owner/app',
        'registry.lan:5000/x',
      ]);
    });

    scenario(
      'comes in pages that miss none and repeat none, in the order of what clients would write',
      async (ledger) => {
        await addRepositories(ledger);
        const paged: string[] = [];
        for (;;) {
          const after = paged.at(-1);
          const page = await ledger.repositories({ limit: 1, ...(after === undefined ? {} : { after }) }, everything);
          if (page.length === 0) break;
          expect(page).toHaveLength(1);
          paged.push(...page);
        }
        expect(paged).toEqual(['ghcr.io/owner/app', 'library/app', 'registry.lan:5000/x', 'team/tool']);
        expect(await ledger.repositories({ limit: 2, after: 'library/aaa' }, everything)).toEqual([
          'library/app',
          'registry.lan:5000/x',
        ]);
      },
    );

    scenario('leaves out registries that are not configured any more', async (ledger) => {
      await addRepositories(ledger);
      const listing = { ...everything, registries: ['docker.io'] };
      expect(await ledger.repositories({ limit: 10 }, listing)).toEqual(['library/app', 'team/tool']);
    });

    scenario(
      'has private repositories only of registries whose private repositories are for anyone',
      async (ledger) => {
        await addRepositories(ledger);
        await ledger.addManifest(manifestNamed('t', { isPublic: false }), [], repositoryNamed('docker.io/team/secret'));
        const listing = { ...everything, listPrivate: ['ghcr.io'] };
        const listed = await ledger.repositories({ limit: 10 }, listing);
        expect(listed).toContain('ghcr.io/owner/secret');
        expect(listed).not.toContain('team/secret');
      },
    );

    scenario('leaves out a repository that has become private upstream', async (ledger) => {
      await addRepositories(ledger);
      await ledger.setVisibility(repositoryNamed('docker.io/team/tool'), false, 9);
      expect(await ledger.repositories({ limit: 10 }, everything)).not.toContain('team/tool');
    });

    scenario('has a repository with many manifests once, and one with blobs only not at all', async (ledger) => {
      for (const manifest of ['a', 'b', 'c']) await ledger.addManifest(manifestNamed(manifest), [], app);
      await ledger.addBlob(blobNamed('layer'), other);
      expect(await ledger.repositories({ limit: 10 }, everything)).toEqual(['library/app']);
      for (const manifest of ['a', 'b', 'c']) await ledger.forget(digestNamed(manifest));
      expect(await ledger.repositories({ limit: 10 }, everything)).toEqual([]);
    });

    scenario('takes names for nothing but names', async (ledger) => {
      await addRepositories(ledger);
      const hostile = [`'; DROP TABLE links; --`, '"]', '[', '\u0000', '%'];
      const listing = { defaultRegistry: hostile[0], registries: hostile, listPrivate: hostile };
      for (const after of hostile) expect(await ledger.repositories({ limit: 10, after }, listing)).toEqual([]);
      expect(await ledger.repositories({ limit: 10 }, everything)).toHaveLength(4);
    });
  });

  describe(`${name}: a search among the names of repositories`, () => {
    const hub = { registry: 'docker.io', prefix: '', holds: '', heldBy: '', look: 10 };

    async function addRepositories(ledger: Ledger): Promise<void> {
      for (const text of ['docker.io/library/app', 'docker.io/team/tool', 'ghcr.io/owner/app', 'registry.lan:5000/x']) {
        await ledger.addManifest(manifestNamed(text), [], repositoryNamed(text));
      }
      await ledger.addManifest(manifestNamed('s', { isPublic: false }), [], repositoryNamed('docker.io/team/secret'));
      await ledger.addBlob(blobNamed('layer'), repositoryNamed('docker.io/team/unused'));
    }

    async function found(ledger: Ledger, search: Partial<RepositorySearch>): Promise<readonly string[]> {
      return (await ledger.searchRepositories({ ...hub, ...search })).matches.map((match) => match.name);
    }

    scenario('finds a text in any place of a name, and none in an empty ledger', async (ledger) => {
      expect(await ledger.searchRepositories(hub)).toEqual({ matches: [], next: undefined });
      await addRepositories(ledger);
      expect(await found(ledger, {})).toEqual(['library/app', 'team/secret', 'team/tool', 'team/unused']);
      expect(await found(ledger, { holds: 'app' })).toEqual(['library/app']);
      expect(await found(ledger, { holds: 'm/t' })).toEqual(['team/tool']);
      expect(await found(ledger, { holds: 'app', registry: 'ghcr.io' })).toEqual(['owner/app']);
      expect(await found(ledger, { holds: '%' })).toEqual([]);
      expect(await found(ledger, { holds: `'; DROP TABLE links; --` })).toEqual([]);
    });

    scenario('finds it across what stands in front of the name, too', async (ledger) => {
      await addRepositories(ledger);
      const lan = { registry: 'registry.lan:5000', holds: '5000/x' };
      expect(await found(ledger, lan)).toEqual([]);
      expect(await found(ledger, { ...lan, prefix: 'registry.lan:5000/' })).toEqual(['x']);
    });

    scenario('finds names that are part of a text', async (ledger) => {
      await addRepositories(ledger);
      const search = { holds: 'my-team/tool-2', heldBy: 'my-team/tool-2' };
      expect(await found(ledger, search)).toEqual(['team/tool']);
      expect(await found(ledger, { ...search, heldBy: '' })).toEqual([]);
    });

    scenario('tells what is stored, and what is for everybody', async (ledger) => {
      await addRepositories(ledger);
      await ledger.setVisibility(repositoryNamed('docker.io/team/tool'), false, 9);
      await ledger.forget(digestNamed('docker.io/library/app'));
      expect((await ledger.searchRepositories(hub)).matches).toEqual([
        { name: 'library/app', isStored: false, isPublic: true },
        { name: 'team/secret', isStored: true, isPublic: false },
        { name: 'team/tool', isStored: true, isPublic: false },
        { name: 'team/unused', isStored: false, isPublic: true },
      ]);
    });

    scenario('looks at no more names than it is told to, and goes on where it stopped', async (ledger) => {
      await addRepositories(ledger);
      for (const look of [1, 2, 3, 4]) {
        const names: string[] = [];
        let looks = 0;
        for (let after: string | undefined = ''; after !== undefined; looks++) {
          const { matches, next } = await ledger.searchRepositories({ ...hub, holds: 't', after, look });
          expect(matches.length).toBeLessThanOrEqual(look);
          names.push(...matches.map((match) => match.name));
          after = next;
        }
        expect(names).toEqual(['team/secret', 'team/tool', 'team/unused']);
        expect(looks).toBe(Math.floor(4 / look) + 1);
      }
    });
  });

  describe(`${name}: the order in which things go`, () => {
    scenario('is that of their last use, and of their digests where that is the same', async (ledger) => {
      for (const text of ['a', 'b', 'c', 'd']) await ledger.addBlob(blobNamed(text), app);
      for (const [text, at] of [
        ['a', 4_000],
        ['b', 3_000],
      ] as const)
        ledger.touch(digestNamed(text), at);
      const [first, second] = ['c', 'd'].map(digestNamed).sort();
      expect(await orderOf(ledger)).toEqual([first, second, digestNamed('b'), digestNamed('a')]);
    });

    scenario('is told with what it takes to choose', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['layer'] });
      await ledger.link(other, { digest: digestNamed('image'), isPublic: false }, 1);
      await ledger.setTag(app, latest, digestNamed('image'), 1);
      await ledger.setTag(app, tagNamed('1.0'), digestNamed('image'), 1);
      await ledger.addBlob(blobNamed('loose', { storedAt: 2_000 }), undefined);
      const [image, loose] = await ledger.leastUsed({ limit: 10 });
      expect(image).toMatchObject({ digest: digestNamed('image'), size: 5, usedAt: 1_000, isManifest: true });
      expect(sortedNames(image?.names)).toEqual([
        ['docker.io/library/app', '1.0', 'latest'],
        ['docker.io/library/other'],
      ]);
      expect(loose).toEqual({ digest: digestNamed('loose'), size: 5, usedAt: 2_000, isManifest: false, names: [] });
    });

    scenario('comes in pages that miss none and repeat none', async (ledger) => {
      const texts = Array.from({ length: 20 }, (_, index) => `blob ${index}`);
      for (const [index, text] of texts.entries()) await ledger.addBlob(blobNamed(text, { storedAt: index % 3 }), app);
      const all = await orderOf(ledger);
      expect([...all].sort()).toEqual(texts.map(digestNamed).sort());
      for (const limit of [1, 3, 20]) {
        const paged: Unreferenced[] = [];
        for (;;) {
          const page = await ledger.leastUsed({ after: paged.at(-1), limit });
          if (page.length === 0) break;
          paged.push(...page);
        }
        expect(paged.map(({ digest }) => digest)).toEqual(all);
      }
      const second = await ledger.leastUsed({ after: { usedAt: 1, digest: '' }, limit: 1 });
      expect(second[0]?.usedAt).toBe(1);
    });

    scenario('has nothing that something stored refers to, however much longer ago it was used', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['base'] });
      await addIndex(ledger, 'inner', { amd64: 'linux/amd64' });
      await addIndex(ledger, 'outer', { inner: 'linux/amd64' });
      ledger.touch(digestNamed('outer'), 9_000);
      expect(await orderOf(ledger)).toEqual([digestNamed('outer')]);
      await ledger.forget(digestNamed('inner'));
      expect(await orderOf(ledger)).toEqual(['amd64', 'outer'].map(digestNamed));
      // Stored again, it belongs to what has referred to it all the time.
      await addIndex(ledger, 'inner', { amd64: 'linux/amd64' });
      expect(await orderOf(ledger)).toEqual([digestNamed('outer')]);
    });

    scenario('is that of use, of which the last second’s is not written yet', async (ledger) => {
      await addImage(ledger, 'first', { layers: [] });
      await addImage(ledger, 'second', { layers: [] });
      ledger.touch(digestNamed('first'), 3_000);
      ledger.touch(digestNamed('second'), 2_000);
      expect(await orderOf(ledger)).toEqual(['second', 'first'].map(digestNamed));
      ledger.touch(digestNamed('second'), 4_000);
      // An older time in the same second takes nothing back.
      ledger.touch(digestNamed('second'), 2_500);
      expect(await orderOf(ledger)).toEqual(['first', 'second'].map(digestNamed));
    });

    scenario('an index was used when one of its images was, at any depth', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['base'] });
      await addIndex(ledger, 'inner', { amd64: 'linux/amd64' });
      await addIndex(ledger, 'outer', { inner: 'linux/amd64' });
      await ledger.addBlob(blobNamed('loose', { storedAt: 2_000 }), app);
      ledger.touch(digestNamed('amd64'), 3_000);
      expect(await orderOf(ledger)).toEqual(['loose', 'outer'].map(digestNamed));
      expect((await ledger.image(digestNamed('inner')))?.usedAt).toBe(3_000);
    });

    scenario('an image was not used because a layer was, which others may have asked for', async (ledger) => {
      await addImage(ledger, 'one', { layers: ['base'] });
      await addImage(ledger, 'two', { layers: ['base'] });
      ledger.touch(digestNamed('one'), 2_000);
      ledger.touch(digestNamed('base'), 3_000);
      expect(await orderOf(ledger)).toEqual(['two', 'one'].map(digestNamed));
      expect((await ledger.image(digestNamed('two')))?.usedAt).toBe(1_000);
    });

    scenario('has what a tag falls back to only after the tag', async (ledger) => {
      await addFallback(ledger);
      expect(await orderOf(ledger)).toEqual([digestNamed('new')]);
      expect(await ledger.evict(digestNamed('old'), nothing)).toEqual([]);
      await ledger.evict(digestNamed('new'), nothing);
      expect(await orderOf(ledger)).toEqual([digestNamed('old')]);
    });

    scenario('has what a tag would fall back to when it does without: when its own bytes are lost', async (ledger) => {
      await addFallback(ledger);
      await ledger.forget(digestNamed('new'));
      expect(await orderOf(ledger)).toEqual([digestNamed('old')]);
      expect(await evictedFrom(ledger, 'old')).toEqual(['old', 'old layer'].map(digestNamed).sort());
      expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('new'), checkedAt: 2 });
    });

    scenario('it is kept for a tag whose unfinished image is part of an index, too', async (ledger) => {
      await addImage(ledger, 'old', { layers: ['old layer'] });
      await addImage(ledger, 'new', { layers: ['new layer'], missing: ['new layer'] });
      await addIndex(ledger, 'index', { new: 'linux/amd64' });
      await ledger.setTag(app, tagNamed('latest-amd64'), digestNamed('old'), 1);
      await ledger.setTag(app, tagNamed('latest-amd64'), digestNamed('new'), 2);
      expect(await orderOf(ledger)).toEqual([digestNamed('index')]);
    });

    scenario('two that tags have left for each other do not stay for ever', async (ledger) => {
      for (const [text, whole] of [
        ['a', 'amd64'],
        ['b', 'arm64'],
      ] as const) {
        await addImage(ledger, `${text} image`, { layers: [] });
        await addIndex(ledger, text, { [`${text} image`]: `linux/${whole}` });
      }
      for (const [tag, from, to] of [
        ['1', 'a', 'b'],
        ['2', 'b', 'a'],
      ] as const) {
        await ledger.setTag(app, tagNamed(tag), digestNamed(from), 1);
        expect((await ledger.setTag(app, tagNamed(tag), digestNamed(to), 2)).fallback).toBe(digestNamed(from));
      }
      expect(await orderOf(ledger)).toEqual(['a', 'b'].map(digestNamed).sort());
    });

    scenario(
      'an index whose tag has moved to an unfinished image of its own does not stay for ever',
      async (ledger) => {
        await addImage(ledger, 'whole', { layers: ['l'] });
        await addImage(ledger, 'unfinished', { layers: ['m'], missing: ['m'] });
        await addIndex(ledger, 'index', { whole: 'linux/amd64', unfinished: 'linux/arm64' });
        await ledger.setTag(app, latest, digestNamed('index'), 1);
        const { fallback } = await ledger.setTag(app, latest, digestNamed('unfinished'), 2);
        expect(fallback).toBe(digestNamed('index'));
        expect(await orderOf(ledger)).toEqual([digestNamed('index')]);
        await ledger.evict(digestNamed('index'), nothing);
        expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('unfinished'), checkedAt: 2 });
      },
    );
  });

  describe(`${name}: eviction`, () => {
    scenario('takes an image with its layers, its links and its tags', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['config', 'layer'] });
      await ledger.setTag(app, latest, digestNamed('image'), 1);
      await ledger.setTag(other, latest, digestNamed('image'), 1);
      const evicted = await ledger.evict(digestNamed('image'), nothing);
      expect(new Map(evicted.map(({ digest, size }) => [digest, size]))).toEqual(
        new Map(['image', 'config', 'layer'].map((text) => [digestNamed(text), text.length])),
      );
      expect(evicted).toHaveLength(3);
      for (const text of ['image', 'config', 'layer']) {
        expect(await ledger.blob(digestNamed(text))).toBeUndefined();
        expect(await ledger.namesOf(digestNamed(text))).toEqual([]);
      }
      expect(await ledger.manifest(digestNamed('image'))).toBeUndefined();
      expect(await ledger.statedSize(app, digestNamed('layer'))).toBeUndefined();
      for (const repository of [app, other]) expect(await ledger.tag(repository, latest)).toBeUndefined();
      expect(await ledger.imageNames({ limit: 10 })).toEqual([]);
      expect(await ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
    });

    scenario('leaves what was asked for too late: unknown, needed, or in use', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['layer'] });
      expect(await ledger.evict(digestNamed('never there'), nothing)).toEqual([]);
      expect(await ledger.evict(digestNamed('layer'), nothing)).toEqual([]);
      expect(await ledger.evict(digestNamed('image'), new Set([digestNamed('image')]))).toEqual([]);
      expect(await ledger.totals()).toEqual({ blobs: 2, bytes: 10, hostedBlobs: 0, hostedBytes: 0 });
      expect(await ledger.evict(digestNamed('image'), nothing)).toHaveLength(2);
      expect(await ledger.evict(digestNamed('image'), nothing)).toEqual([]);
    });

    scenario('leaves a layer of two images to the second, and takes it with that', async (ledger) => {
      await addImage(ledger, 'one', { layers: ['base', 'one layer'] });
      await addImage(ledger, 'two', { layers: ['base', 'two layer'] });
      expect(await evictedFrom(ledger, 'one')).toEqual(['one', 'one layer'].map(digestNamed).sort());
      expect(await ledger.image(digestNamed('two'))).toMatchObject({ isComplete: true });
      expect(await evictedFrom(ledger, 'two')).toEqual(['two', 'two layer', 'base'].map(digestNamed).sort());
    });

    scenario('leaves the images of an index, which come next: they were used when it was', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['l'] });
      await addImage(ledger, 'arm64', { layers: ['l'] });
      await addIndex(ledger, 'inner', { amd64: 'linux/amd64' });
      await addIndex(ledger, 'outer', { inner: 'linux/amd64', arm64: 'linux/arm64' });
      await ledger.addBlob(blobNamed('later', { storedAt: 6_000 }), app);
      ledger.touch(digestNamed('outer'), 5_000);
      expect(await evictedFrom(ledger, 'outer')).toEqual([digestNamed('outer')]);
      const left = await ledger.leastUsed({ limit: 10 });
      expect(left.slice(0, 2).map(({ digest }) => digest)).toEqual(['inner', 'arm64'].map(digestNamed).sort());
      expect(left.map(({ usedAt }) => usedAt)).toEqual([5_000, 5_000, 6_000]);
      expect(await evictedFrom(ledger, 'inner')).toEqual([digestNamed('inner')]);
      expect(await evictedFrom(ledger, 'amd64')).toEqual([digestNamed('amd64')]);
      expect(await evictedFrom(ledger, 'arm64')).toEqual(['arm64', 'l'].map(digestNamed).sort());
    });

    scenario('leaves what is being read, which was used when its image was', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['read', 'layer'] });
      // Not written yet when the eviction comes.
      ledger.touch(digestNamed('image'), 5_000);
      const evicted = await ledger.evict(digestNamed('image'), new Set([digestNamed('read')]));
      expect(evicted.map(({ digest }) => digest).sort()).toEqual(['image', 'layer'].map(digestNamed).sort());
      const [left] = await ledger.leastUsed({ limit: 10 });
      expect(left).toMatchObject({ digest: digestNamed('read'), usedAt: 5_000, isManifest: false });
      expect(sortedNames(left?.names)).toEqual([['docker.io/library/app']]);
      expect(await evictedFrom(ledger, 'read')).toEqual([digestNamed('read')]);
    });

    scenario('lets the tag fall back, unconfirmed, to what was used when the tag was', async (ledger) => {
      await addFallback(ledger);
      ledger.touch(digestNamed('new'), 5_000);
      await ledger.evict(digestNamed('new'), nothing);
      expect(await ledger.tag(app, latest)).toEqual({ digest: digestNamed('old'), checkedAt: 0 });
      expect(await ledger.leastUsed({ limit: 10 })).toMatchObject([{ digest: digestNamed('old'), usedAt: 5_000 }]);
      expect(await evictedFrom(ledger, 'old')).toEqual(['old', 'old layer'].map(digestNamed).sort());
      expect(await ledger.tag(app, latest)).toBeUndefined();
    });

    scenario('does not let the tag fall back to what is not there any more', async (ledger) => {
      await addFallback(ledger);
      await ledger.forget(digestNamed('old'));
      await ledger.evict(digestNamed('new'), nothing);
      expect(await ledger.tag(app, latest)).toBeUndefined();
    });

    scenario('what was evicted can be stored again, for whom it is proved anew', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['layer'] });
      await ledger.evict(digestNamed('image'), nothing);
      await addImage(ledger, 'image', { layers: ['layer'] }, other);
      expect(await orderOf(ledger)).toEqual([digestNamed('image')]);
      expect(await ledger.namesAbove(digestNamed('layer'), 10)).toMatchObject([{ repository: other }]);
    });
  });

  describe(`${name}: totals`, () => {
    scenario('are those of what is stored, whatever came, changed and went', async (ledger) => {
      expect(await ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
      await ledger.addBlob(blobNamed('a', { size: 2 ** 40 }), app);
      await ledger.addManifest(manifestNamed('m', { size: 10 }), [childBlob('a')], app);
      expect(await ledger.totals()).toEqual({ blobs: 2, bytes: 2 ** 40 + 10, hostedBlobs: 0, hostedBytes: 0 });
      await ledger.addBlob(blobNamed('a', { size: 7 }), other);
      await ledger.addManifest(manifestNamed('m', { size: 5 }), [childBlob('a')], other);
      await ledger.link(other, { digest: digestNamed('b'), isPublic: true }, 1);
      expect(await ledger.totals()).toEqual({ blobs: 2, bytes: 12, hostedBlobs: 0, hostedBytes: 0 });
      await ledger.forget(digestNamed('a'));
      await ledger.forget(digestNamed('a'));
      expect(await ledger.totals()).toEqual({ blobs: 1, bytes: 5, hostedBlobs: 0, hostedBytes: 0 });
      await ledger.evict(digestNamed('m'), nothing);
      expect(await ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
    });
  });

  describe(`${name}: images and their names`, () => {
    scenario('come by name, tags and untagged ones, each once over any pages', async (ledger) => {
      await addImage(ledger, 'one', { layers: ['l'] });
      await addImage(ledger, 'two', { layers: ['l'] }, other);
      await addImage(ledger, 'untagged', { layers: ['l'] });
      await addImage(ledger, 'untagged too', { layers: ['l'] });
      await addImage(ledger, 'part', { layers: ['l'] });
      await addIndex(ledger, 'index', { part: 'linux/amd64' });
      await ledger.link(elsewhere, { digest: digestNamed('one'), isPublic: false }, 1);
      await ledger.setTag(app, tagNamed('b'), digestNamed('one'), 3);
      await ledger.setTag(app, tagNamed('a'), digestNamed('one'), 4);
      await ledger.setTag(app, tagNamed('c'), digestNamed('index'), 5);
      await ledger.setTag(app, tagNamed('d'), digestNamed('never there'), 6);
      await ledger.setTag(elsewhere, latest, digestNamed('two'), 7);
      const untagged = { tag: undefined, checkedAt: undefined };
      const names = [
        ...['untagged', 'untagged too']
          .map(digestNamed)
          .sort()
          .map((digest) => ({ repository: app, digest, ...untagged })),
        { repository: app, tag: tagNamed('a'), digest: digestNamed('one'), checkedAt: 4 },
        { repository: app, tag: tagNamed('b'), digest: digestNamed('one'), checkedAt: 3 },
        { repository: app, tag: tagNamed('c'), digest: digestNamed('index'), checkedAt: 5 },
        { repository: other, digest: digestNamed('two'), ...untagged },
        { repository: elsewhere, digest: digestNamed('one'), ...untagged },
        { repository: elsewhere, tag: latest, digest: digestNamed('two'), checkedAt: 7 },
      ];
      for (const limit of [1, 2, 3, 100]) {
        const paged: ImageName[] = [];
        for (;;) {
          const after = paged.at(-1);
          const page = await ledger.imageNames({ limit, ...(after === undefined ? {} : { after }) });
          expect(page.length).toBeLessThanOrEqual(limit);
          if (page.length === 0) break;
          paged.push(...page);
          expect(paged.length).toBeLessThanOrEqual(names.length);
        }
        expect(paged).toEqual(names);
      }
    });

    scenario('of a part are those of the images that it is part of, at any depth', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['base'] });
      await addIndex(ledger, 'index', { amd64: 'linux/amd64' });
      await addImage(ledger, 'single', { layers: ['base'] }, other);
      await addImage(ledger, 'stranger', { layers: ['l'] });
      await ledger.setTag(app, latest, digestNamed('index'), 1);
      const ofSingle = { repository: other, tag: undefined, digest: digestNamed('single'), checkedAt: undefined };
      const ofIndex = { repository: app, tag: latest, digest: digestNamed('index'), checkedAt: 1 };
      expect(await ledger.namesAbove(digestNamed('base'), 10)).toEqual([ofIndex, ofSingle]);
      expect(await ledger.namesAbove(digestNamed('base'), 1)).toHaveLength(1);
      expect(await ledger.namesAbove(digestNamed('amd64'), 10)).toEqual([ofIndex]);
      expect(await ledger.namesAbove(digestNamed('index'), 10)).toEqual([ofIndex]);
      expect(await ledger.namesAbove(digestNamed('never there'), 10)).toEqual([]);
      // What stands for lost bytes is no image, until they are there again.
      await ledger.forget(digestNamed('index'));
      expect(await ledger.namesAbove(digestNamed('index'), 10)).toEqual([]);
    });

    scenario('of a blob are the repositories that were proved to hold it', async (ledger) => {
      await addImage(ledger, 'image', { layers: ['layer'] });
      await ledger.link(elsewhere, { digest: digestNamed('layer'), isPublic: false }, 1);
      await ledger.setTag(app, latest, digestNamed('image'), 1);
      const names = sortedNames(await ledger.namesOf(digestNamed('layer')));
      expect(names).toEqual([['docker.io/library/app'], ['ghcr.io/library/app']]);
      expect(sortedNames(await ledger.namesOf(digestNamed('image')))).toEqual([['docker.io/library/app', 'latest']]);
      expect(await ledger.namesOf(digestNamed('never there'))).toEqual([]);
    });

    scenario('an image has the size of all that is stored below it, each once', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['base', 'la'] });
      await addImage(ledger, 'arm64', { layers: ['base', 'lb'], missing: ['lb'] });
      await addIndex(ledger, 'index', { amd64: 'linux/amd64', arm64: 'linux/arm64/v8', s390x: 'linux/s390x' });
      expect(await ledger.image(digestNamed('amd64'))).toEqual({
        digest: digestNamed('amd64'),
        mediaType: imageType,
        bytes: 5 + 4 + 2,
        usedAt: 1_000,
        isComplete: true,
        completePlatforms: [],
      });
      const index = { digest: digestNamed('index'), mediaType: indexType, usedAt: 1_000 };
      expect(await ledger.image(digestNamed('index'))).toEqual({
        ...index,
        bytes: 5 + 5 + 5 + 4 + 2,
        isComplete: false,
        completePlatforms: ['linux/amd64'],
      });
      await ledger.addBlob(blobNamed('lb'), app);
      expect(await ledger.image(digestNamed('index'))).toMatchObject({ isComplete: false });
      await addImage(ledger, 's390x', { layers: ['base'] });
      const whole = await ledger.image(digestNamed('index'));
      expect(whole).toMatchObject({ ...index, isComplete: true, bytes: 5 + 5 + 5 + 4 + 2 + 2 + 5 });
      expect([...(whole?.completePlatforms ?? [])].sort()).toEqual(['linux/amd64', 'linux/arm64/v8', 'linux/s390x']);
      expect(await ledger.image(digestNamed('base'))).toBeUndefined();
      expect(await ledger.image(digestNamed('never there'))).toBeUndefined();
    });

    scenario('an index is complete when what its indexes list is, to the last layer', async (ledger) => {
      await addImage(ledger, 'amd64', { layers: ['l'], missing: ['l'] });
      await addIndex(ledger, 'inner', { amd64: 'linux/amd64' });
      await addIndex(ledger, 'outer', { inner: 'linux/amd64' });
      expect(await ledger.image(digestNamed('outer'))).toMatchObject({
        isComplete: false,
        completePlatforms: [],
        bytes: 5 + 5 + 5,
      });
      await ledger.addBlob(blobNamed('l'), app);
      expect(await ledger.image(digestNamed('outer'))).toMatchObject({ isComplete: true, bytes: 5 + 5 + 5 + 1 });
      // Its bytes are there, but not as the manifest that says what is below it.
      await ledger.forget(digestNamed('amd64'));
      await ledger.addBlob(blobNamed('amd64'), app);
      expect(await ledger.image(digestNamed('outer'))).toMatchObject({ isComplete: false });
    });

    scenario('what several images share is counted once', async (ledger) => {
      await addImage(ledger, 'one', { layers: ['base', 'x'] });
      await addImage(ledger, 'two', { layers: ['base', 'yy'] });
      expect(await ledger.contentOf([])).toEqual([]);
      expect(bytesOf(await ledger.contentOf(['one', 'two', 'one', 'never there'].map(digestNamed)))).toBe(
        3 + 3 + 4 + 1 + 2,
      );
      expect(bytesOf(await ledger.contentOf([digestNamed('base')]))).toBe(4);
    });
  });

  scenario(`${name}: pins are kept as they were written, each once, until they are taken back`, async (ledger) => {
    expect(await ledger.pins()).toEqual([]);
    await ledger.addPin('library/b:*', 1);
    await ledger.addPin('library/a', 2);
    await ledger.addPin('library/b:*', 3);
    expect(await ledger.pins()).toEqual(['library/a', 'library/b:*']);
    expect(await ledger.removePin('library/b')).toBe(false);
    expect(await ledger.removePin('library/b:*')).toBe(true);
    expect(await ledger.removePin('library/b:*')).toBe(false);
    expect(await ledger.pins()).toEqual(['library/a']);
  });

  test(`${name}: last use is marked without waiting, also of what is not there`, async () => {
    await using place = await open();
    await place.ledger.addBlob(blobNamed('a'), app);
    place.ledger.touch(digestNamed('a'), 1_700_000_000_000);
    place.ledger.touch(digestNamed('never there'), 1_700_000_000_000);
    expect(await place.ledger.blob(digestNamed('a'))).toEqual(blobNamed('a'));
  });
}

function blobNamed(text: string, more: Partial<BlobRecord> = {}): BlobRecord {
  return { digest: digestNamed(text), size: text.length, isPublic: true, isHosted: false, storedAt: 1_000, ...more };
}

function manifestNamed(text: string, more: Partial<ManifestRecord> = {}): ManifestRecord {
  return { ...blobNamed(text), mediaType: imageType, ...more };
}

function childBlob(text: string): Child {
  return { digest: digestNamed(text), size: text.length, kind: 'blob' };
}

/** An image in `app` of which all but the `missing` layers are stored. */
async function addImage(
  ledger: Ledger,
  text: string,
  { layers, missing = [] }: { readonly layers: readonly string[]; readonly missing?: readonly string[] },
  repository: Repository = app,
): Promise<Digest> {
  for (const layer of layers) if (!missing.includes(layer)) await ledger.addBlob(blobNamed(layer), repository);
  await ledger.addManifest(manifestNamed(text), layers.map(childBlob), repository);
  return digestNamed(text);
}

/** An index in `app`, given as platforms by the names of the images. */
async function addIndex(ledger: Ledger, text: string, entries: Readonly<Record<string, string>>): Promise<void> {
  const children = Object.entries(entries).map(
    ([image, platform]): Child => ({ digest: digestNamed(image), size: image.length, kind: 'manifest', platform }),
  );
  await ledger.addManifest(manifestNamed(text, { mediaType: indexType }), children, app);
}

/** `latest` of `app` at an unfinished image, and at a complete one for the time without an upstream. */
async function addFallback(ledger: Ledger): Promise<void> {
  await addImage(ledger, 'old', { layers: ['old layer'] });
  await ledger.setTag(app, latest, digestNamed('old'), 1);
  await addImage(ledger, 'new', { layers: ['new layer'], missing: ['new layer'] });
  expect(await ledger.setTag(app, latest, digestNamed('new'), 2)).toHaveProperty('fallback', digestNamed('old'));
}

async function orderOf(ledger: Ledger): Promise<readonly Digest[]> {
  return (await ledger.leastUsed({ limit: 100 })).map(({ digest }) => digest);
}

async function evictedFrom(ledger: Ledger, text: string): Promise<readonly Digest[]> {
  return (await ledger.evict(digestNamed(text), nothing)).map(({ digest }) => digest).sort();
}

/** Each repository with its tags behind it. */
function sortedNames(names: readonly Name[] | undefined): readonly (readonly string[])[] {
  return (names ?? []).map(({ repository, tags }) => [repositoryText(repository), ...[...tags].sort()]).sort();
}

function bytesOf(content: readonly { readonly size: number }[]): number {
  return content.reduce((sum, { size }) => sum + size, 0);
}
