import { describe, expect, test } from 'vitest';
import type { BlobRecord, Ledger, Listing, ManifestRecord } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Child } from '../../src/oci/manifest.ts';
import type { Repository } from '../../src/oci/repository-name.ts';
import { digestNamed, repositoryNamed, tagNamed } from './words.ts';

/** One place where a ledger lies; `ledger` is that of the latest opening. */
export interface LedgerPlace extends AsyncDisposable {
  readonly ledger: Ledger;
}

const app = repositoryNamed('docker.io/library/app');
const other = repositoryNamed('docker.io/library/other');
const elsewhere = repositoryNamed('ghcr.io/library/app');
const latest = tagNamed('latest');

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

  test(`${name}: last use is marked without waiting, also of what is not there`, async () => {
    await using place = await open();
    await place.ledger.addBlob(blobNamed('a'), app);
    place.ledger.touch(digestNamed('a'), 1_700_000_000_000);
    place.ledger.touch(digestNamed('never there'), 1_700_000_000_000);
    expect(await place.ledger.blob(digestNamed('a'))).toEqual(blobNamed('a'));
  });
}

function blobNamed(text: string, more: Partial<BlobRecord> = {}): BlobRecord {
  return { digest: digestNamed(text), size: text.length, isPublic: true, storedAt: 1_000, ...more };
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
