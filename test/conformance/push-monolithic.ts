import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { type Area, check } from './check.ts';
import { uniqueBytes, unknownDigest } from './documents.ts';
import { octets, type Registry, withQuery } from './registry.ts';

const sizes = [1, 65_537, 8 * 1024 * 1024];

export const pushMonolithic: Area = {
  title: 'push of a blob in one piece',
  checks: [
    ...sizes.map((size) =>
      check(`POST, then PUT of ${size} bytes: 201 and a Location where the blob can be fetched`, async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes(size);
        const done = await registry.finish(await registry.begin(repository), digestOfBytes(bytes), bytes);
        const fetched = (await registry.ask('GET', done.is(201).location())).is(200);
        expect(fetched.body.equals(bytes)).toBe(true);
        await expectBlob(registry, repository, bytes);
      }),
    ),
    check('a PUT with chunked transfer encoding and no Content-Length', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(300_000);
      const location = withQuery(await registry.begin(repository), { digest: digestOfBytes(bytes) });
      (await registry.ask('PUT', location, { body: pieces(bytes), headers: octets })).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('POST with the digest and the bytes: 201, or 202 and the PUT that follows', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(5_000);
      const answer = await postWhole(registry, repository, digestOfBytes(bytes), bytes);
      if (answer.is(201, 202).status === 202) {
        (await registry.finish(answer.location(), digestOfBytes(bytes), bytes)).is(201);
      } else {
        expect((await registry.ask('GET', answer.location())).is(200).body.equals(bytes)).toBe(true);
      }
      await expectBlob(registry, repository, bytes);
    }),
    check('POST with the digest of other bytes stores neither', async (registry) => {
      const repository = registry.repository();
      const [bytes, digest] = [uniqueBytes(), unknownDigest()];
      const answer = await postWhole(registry, repository, digest, bytes);
      if (answer.status !== 202) answer.isError(400, 'DIGEST_INVALID');
      await expectNoBlob(registry, repository, digest, digestOfBytes(bytes));
    }),
    check('the blob without a byte', async (registry) => {
      const repository = registry.repository();
      const digest = await registry.blob(repository, Buffer.alloc(0));
      const answer = (await registry.get(repository, `blobs/${digest}`)).is(200);
      expect([answer.body.length, answer.header('content-length')]).toEqual([0, '0']);
      expect((await registry.head(repository, `blobs/${digest}`)).is(200).header('content-length')).toBe('0');
    }),
    check('the same blob twice is 201 twice', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      await registry.blob(repository, bytes);
      await registry.blob(repository, bytes);
      await expectBlob(registry, repository, bytes);
    }),
    check(
      'bytes that another repository has already still have to be pushed, and then are here too',
      async (registry) => {
        const [first, second] = [registry.repository(), registry.repository()];
        const bytes = uniqueBytes();
        await registry.blob(first, bytes);
        await expectNoBlob(registry, second, digestOfBytes(bytes));
        await registry.blob(second, bytes);
        await expectBlob(registry, second, bytes);
      },
    ),
    check('PUT with the digest of other bytes is 400 DIGEST_INVALID, and neither is stored', async (registry) => {
      const repository = registry.repository();
      const [bytes, digest] = [uniqueBytes(), unknownDigest()];
      (await registry.finish(await registry.begin(repository), digest, bytes)).isError(400, 'DIGEST_INVALID');
      await expectNoBlob(registry, repository, digest, digestOfBytes(bytes));
    }),
    check('PUT with one byte more or less than the digest says is 400', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      const digest = digestOfBytes(bytes);
      for (const wrong of [bytes.subarray(1), Buffer.concat([bytes, Buffer.alloc(1)]), Buffer.alloc(0)]) {
        (await registry.finish(await registry.begin(repository), digest, wrong)).isError(400, 'DIGEST_INVALID');
      }
      await expectNoBlob(registry, repository, digest);
    }),
    check('PUT without a digest is 400 DIGEST_INVALID', async (registry) => {
      const location = await registry.begin(registry.repository());
      const answer = await registry.ask('PUT', location, { body: uniqueBytes(), headers: octets });
      answer.isError(400, 'DIGEST_INVALID');
    }),
    ...['sha256', 'sha256:', 'sha256:abc', `sha256:${'g'.repeat(64)}`, `md5:${'a'.repeat(32)}`, '../../x'].map(
      (digest) =>
        check(`PUT with ?digest=${digest} is 400 DIGEST_INVALID`, async (registry) => {
          const location = await registry.begin(registry.repository());
          (await registry.finish(location, digest, uniqueBytes())).isError(400, 'DIGEST_INVALID');
        }),
    ),
    check(
      'a blob under its sha512 digest',
      async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes();
        const digest = await registry.blob(repository, bytes, 'sha512');
        const answer = (await registry.get(repository, `blobs/${digest}`)).is(200);
        expect([answer.body.equals(bytes), answer.header('docker-content-digest')]).toEqual([true, digest]);
      },
      'sha512',
    ),
    check('POST ?digest-algorithm=sha512, PATCH, and PUT with the sha512 digest', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(5_000);
      const digest = digestOfBytes(bytes, 'sha512');
      const begun = await registry.ask('POST', `/v2/${repository}/blobs/uploads/?digest-algorithm=sha512`);
      const patched = (await registry.patch(begun.is(202).location(), bytes)).is(202);
      (await registry.finish(patched.location(), digest)).is(201);
      expect((await registry.get(repository, `blobs/${digest}`)).is(200).body.equals(bytes)).toBe(true);
    }),
    check(
      'POST ?digest-algorithm=md5 is refused',
      async (registry) => {
        const answer = await registry.ask('POST', `/v2/${registry.repository()}/blobs/uploads/?digest-algorithm=md5`);
        answer.isError(400);
      },
      'digestAlgorithm',
    ),
    check('eight uploads at once each become their own blob', async (registry) => {
      const repository = registry.repository();
      const all = Array.from({ length: 8 }, () => uniqueBytes(200_000));
      await Promise.all(all.map((bytes) => registry.blob(repository, bytes)));
      for (const bytes of all) await expectBlob(registry, repository, bytes);
    }),
    check('the same bytes in four uploads at once are four times 201', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(200_000);
      await Promise.all(Array.from({ length: 4 }, () => registry.blob(repository, bytes)));
      await expectBlob(registry, repository, bytes);
    }),
  ],
};

function postWhole(registry: Registry, repository: string, digest: string, body: Uint8Array) {
  const path = withQuery(`/v2/${repository}/blobs/uploads/`, { digest });
  return registry.ask('POST', path, { body, headers: octets });
}

export async function expectBlob(registry: Registry, repository: string, bytes: Buffer): Promise<void> {
  const answer = await registry.get(repository, `blobs/${digestOfBytes(bytes)}`);
  expect(answer.is(200).body.equals(bytes), 'that these are the bytes').toBe(true);
}

/** Asks with GET: a registry may take the HEAD of somebody who may push for a mount, and answer 200. */
export async function expectNoBlob(
  registry: Registry,
  repository: string,
  ...digests: readonly string[]
): Promise<void> {
  for (const digest of digests) (await registry.get(repository, `blobs/${digest}`)).is(404);
}

const pieceBytes = 10_007;

export async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield await Promise.resolve(bytes.subarray(start, start + pieceBytes));
  }
}
