import { expect } from 'vitest';
import { type Area, check } from './check.ts';
import { descriptorOf, indexOf, uniqueBytes, unknownDigest } from './documents.ts';
import { tagsOf } from './listing.ts';
import { expectDocument } from './pull.ts';
import { expectBlob } from './push-monolithic.ts';

export const deletion: Area = {
  title: 'delete',
  checks: [
    check(
      'of a tag is 202: the tag is gone, other tags and the manifest stay',
      async (registry) => {
        const repository = registry.repository();
        const image = await registry.image(repository, ['1.0', '1', 'latest']);
        (await registry.delete(repository, 'manifests/1')).is(202);
        (await registry.manifest(repository, '1')).isError(404, 'MANIFEST_UNKNOWN');
        for (const reference of ['1.0', 'latest', image.digest]) {
          expectDocument(await registry.manifest(repository, reference), image);
        }
        expect([...tagsOf(await registry.get(repository, 'tags/list'))].sort()).toEqual(['1.0', 'latest']);
        (await registry.delete(repository, 'manifests/1')).isError(404, 'MANIFEST_UNKNOWN');
      },
      'deleteTag',
    ),
    check(
      'of the last tag leaves the manifest under its digest',
      async (registry) => {
        const repository = registry.repository();
        const image = await registry.image(repository, ['1.0']);
        (await registry.delete(repository, 'manifests/1.0')).is(202);
        expectDocument(await registry.manifest(repository, image.digest), image);
      },
      'deleteTag',
    ),
    check('of a manifest is 202: it is gone with all its tags, and others stay', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0', 'latest']);
      const other = await registry.image(repository, ['2.0']);
      (await registry.delete(repository, `manifests/${image.digest}`)).is(202);
      for (const reference of ['1.0', 'latest', image.digest]) {
        (await registry.manifest(repository, reference)).isError(404, 'MANIFEST_UNKNOWN');
        (await registry.head(repository, `manifests/${reference}`)).is(404);
      }
      expect(tagsOf(await registry.get(repository, 'tags/list'))).toEqual(['2.0']);
      expectDocument(await registry.manifest(repository, '2.0'), other);
    }),
    check('of a manifest twice is 404 the second time', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      (await registry.delete(repository, `manifests/${image.digest}`)).is(202);
      (await registry.delete(repository, `manifests/${image.digest}`)).isError(404, 'MANIFEST_UNKNOWN');
    }),
    check('of a manifest that is nowhere is 404', async (registry) => {
      const repository = registry.repository();
      await registry.image(repository, ['1.0']);
      (await registry.delete(repository, `manifests/${unknownDigest()}`)).isError(404, 'MANIFEST_UNKNOWN');
    }),
    check('of a manifest leaves the same one in another repository', async (registry) => {
      const [repository, other] = [registry.repository(), registry.repository()];
      const index = indexOf([], { annotations: { unique: unknownDigest() } });
      for (const name of [repository, other]) (await registry.put(name, '1.0', index)).is(201);
      (await registry.delete(repository, `manifests/${index.digest}`)).is(202);
      expectDocument(await registry.manifest(other, '1.0'), index);
    }),
    check('of an index leaves its children', async (registry) => {
      const repository = registry.repository();
      const child = await registry.image(repository);
      const index = indexOf([descriptorOf(child)]);
      (await registry.put(repository, '1.0', index)).is(201);
      (await registry.delete(repository, `manifests/${index.digest}`)).is(202);
      expectDocument(await registry.manifest(repository, child.digest), child);
    }),
    check('a deleted manifest can be pushed again', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      (await registry.delete(repository, `manifests/${image.digest}`)).is(202);
      (await registry.put(repository, '1.0', image)).is(201);
      expectDocument(await registry.manifest(repository, '1.0'), image);
    }),
    check('of a blob is 202, then it is 404, to DELETE as well', async (registry) => {
      const repository = registry.repository();
      const path = `blobs/${await registry.blob(repository)}`;
      (await registry.delete(repository, path)).is(202);
      (await registry.get(repository, path)).isError(404, 'BLOB_UNKNOWN');
      (await registry.head(repository, path)).is(404);
      (await registry.delete(repository, path)).isError(404, 'BLOB_UNKNOWN');
    }),
    check('of a blob leaves the same one in another repository', async (registry) => {
      const [repository, other] = [registry.repository(), registry.repository()];
      const bytes = uniqueBytes();
      const digest = await registry.blob(repository, bytes);
      await registry.blob(other, bytes);
      (await registry.delete(repository, `blobs/${digest}`)).is(202);
      await expectBlob(registry, other, bytes);
    }),
    check('a deleted blob can be pushed again', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      (await registry.delete(repository, `blobs/${await registry.blob(repository, bytes)}`)).is(202);
      await registry.blob(repository, bytes);
      await expectBlob(registry, repository, bytes);
    }),
    check('of a blob that is nowhere, or in another repository only, is 404', async (registry) => {
      const [repository, other] = [registry.repository(), registry.repository()];
      await registry.blob(repository);
      const bytes = uniqueBytes();
      for (const digest of [unknownDigest(), await registry.blob(other, bytes)]) {
        (await registry.delete(repository, `blobs/${digest}`)).isError(404, 'BLOB_UNKNOWN');
      }
      await expectBlob(registry, other, bytes);
    }),
  ],
};
