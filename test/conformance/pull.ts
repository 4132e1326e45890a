import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import type { Answer } from './answer.ts';
import { type Area, check } from './check.ts';
import { type Document, uniqueBytes, unknownDigest } from './documents.ts';

const contentHeaders = ['content-type', 'content-length', 'docker-content-digest'];

export const pull: Area = {
  title: 'pull',
  checks: [
    check('a blob comes back byte for byte, with its digest and length', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(100_000);
      const digest = await registry.blob(repository, bytes);
      const answer = (await registry.get(repository, `blobs/${digest}`)).is(200);
      expect(answer.body.equals(bytes)).toBe(true);
      expect(answer.header('docker-content-digest')).toBe(digest);
      expect(answer.header('content-length')).toBe('100000');
    }),
    check('HEAD of a blob has the headers of GET and no body', async (registry) => {
      const repository = registry.repository();
      const path = `blobs/${await registry.blob(repository)}`;
      const [head, get] = [await registry.head(repository, path), await registry.get(repository, path)];
      expect(head.is(200).body.length).toBe(0);
      expect(described(head)).toEqual(described(get.is(200)));
    }),
    check('a blob is never compressed on its way, whatever the client accepts', async (registry) => {
      const repository = registry.repository();
      const bytes = Buffer.alloc(10_000, 'compressible ');
      const digest = await registry.blob(repository, bytes);
      const answer = await registry.get(repository, `blobs/${digest}`, { 'accept-encoding': 'zstd, gzip, deflate' });
      expect(answer.is(200).body.equals(bytes)).toBe(true);
      expect(answer.maybe('content-encoding') ?? 'identity').toBe('identity');
    }),
    ...(
      [
        ['bytes=0-0', 0, 1],
        ['bytes=10-19', 10, 20],
        ['bytes=990-', 990, 1000],
        ['bytes=-7', 993, 1000],
        ['bytes=990-5000', 990, 1000],
        ['bytes=0-', 0, 1000],
      ] as const
    ).map(([range, start, end]) =>
      check(`Range: ${range} of 1000 bytes is 206 with exactly these`, async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes(1000);
        const digest = await registry.blob(repository, bytes);
        const answer = (await registry.get(repository, `blobs/${digest}`, { range })).is(206);
        expect(answer.header('content-range')).toBe(`bytes ${start}-${end - 1}/1000`);
        expect(answer.header('content-length')).toBe(String(end - start));
        expect(answer.body.equals(bytes.subarray(start, end))).toBe(true);
      }),
    ),
    check(
      'a Range that begins behind the last byte is 416',
      async (registry) => {
        const repository = registry.repository();
        const digest = await registry.blob(repository, uniqueBytes(10));
        (await registry.get(repository, `blobs/${digest}`, { range: 'bytes=10-' })).is(416);
      },
      'rangeBehindEnd',
    ),
    check('a blob that nobody has is 404 BLOB_UNKNOWN', async (registry) => {
      const repository = registry.repository();
      await registry.blob(repository);
      (await registry.get(repository, `blobs/${unknownDigest()}`)).isError(404, 'BLOB_UNKNOWN');
      expect((await registry.head(repository, `blobs/${unknownDigest()}`)).is(404).body.length).toBe(0);
    }),
    check('a blob of one repository is not there in another', async (registry) => {
      const [has, hasNot] = [registry.repository(), registry.repository()];
      const digest = await registry.blob(has);
      await registry.blob(hasNot);
      (await registry.get(hasNot, `blobs/${digest}`)).isError(404, 'BLOB_UNKNOWN');
    }),
    check('anything in a repository without a push is 404', async (registry) => {
      const repository = registry.repository();
      (await registry.get(repository, `blobs/${unknownDigest()}`)).isError(404, 'BLOB_UNKNOWN', 'NAME_UNKNOWN');
      for (const reference of ['latest', unknownDigest()]) {
        (await registry.manifest(repository, reference)).isError(404, 'MANIFEST_UNKNOWN', 'NAME_UNKNOWN');
      }
    }),
    check('a manifest comes back byte for byte, by tag and by digest', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      for (const reference of ['1.0', image.digest])
        expectDocument(await registry.manifest(repository, reference), image);
    }),
    check('HEAD of a manifest has the headers of GET and no body, by tag and by digest', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      for (const reference of ['1.0', image.digest]) {
        const head = await registry.head(repository, `manifests/${reference}`);
        expect(head.is(200).body.length).toBe(0);
        expect(described(head)).toEqual([image.mediaType, String(image.bytes.length), image.digest]);
        expect(described(head)).toEqual(described(await registry.manifest(repository, reference)));
      }
    }),
    check('a tag or digest that is not there is 404 MANIFEST_UNKNOWN, and HEAD of it has no body', async (registry) => {
      const repository = registry.repository();
      await registry.image(repository, ['1.0']);
      for (const reference of ['1.1', unknownDigest()]) {
        (await registry.manifest(repository, reference)).isError(404, 'MANIFEST_UNKNOWN');
        expect((await registry.head(repository, `manifests/${reference}`)).is(404).body.length).toBe(0);
      }
    }),
    check('a manifest of one repository is not there in another', async (registry) => {
      const [has, hasNot] = [registry.repository(), registry.repository()];
      const image = await registry.image(has, ['1.0']);
      await registry.image(hasNot, ['2.0']);
      for (const reference of ['1.0', image.digest]) (await registry.manifest(hasNot, reference)).is(404);
    }),
    check(
      'a manifest under its sha512 digest comes back as that',
      async (registry) => {
        const repository = registry.repository();
        const image = await registry.image(repository);
        const digest = digestOfBytes(image.bytes, 'sha512');
        (await registry.put(repository, digest, image)).is(201);
        const answer = (await registry.manifest(repository, digest)).is(200);
        expect(answer.body.equals(image.bytes)).toBe(true);
        expect(answer.header('docker-content-digest')).toBe(digest);
      },
      'sha512',
    ),
  ],
};

function described(answer: Answer): readonly string[] {
  return contentHeaders.map((name) => answer.header(name));
}

/** That the answer is this very manifest. Its type has no parameters (distribution-spec "Pulling manifests"). */
export function expectDocument(answer: Answer, { mediaType, bytes, digest }: Document): void {
  expect(described(answer.is(200))).toEqual([mediaType, String(bytes.length), digest]);
  expect(answer.body.equals(bytes)).toBe(true);
}
