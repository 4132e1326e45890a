import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import type { Answer } from './answer.ts';
import { type Area, check } from './check.ts';
import { imageOf, uniqueBytes } from './documents.ts';
import { tagsOf } from './listing.ts';
import { expectDocument } from './pull.ts';
import { push } from './push-chunked.ts';
import { expectBlob, expectNoBlob } from './push-monolithic.ts';
import { octets, type Registry, withQuery } from './registry.ts';

/** Where registries went wrong that had every route. */
export const gotchas: Area = {
  title: 'gotchas',
  checks: [
    ...['blobs', 'manifests', 'tags', 'tags/list', 'referrers', 'blobs/uploads', 'manifests/latest', 'v2'].map((word) =>
      check(`a repository whose name ends in /${word} is one like any other`, async (registry) => {
        const repository = `${registry.repository()}/${word}`;
        const image = await registry.image(repository, ['latest']);
        for (const reference of ['latest', image.digest])
          expectDocument(await registry.manifest(repository, reference), image);
        expect(tagsOf(await registry.get(repository, 'tags/list'))).toEqual(['latest']);
      }),
    ),
    check('a repository below another one does not mix with it', async (registry) => {
      const above = registry.repository();
      const below = `${above}/below`;
      const [one, other] = [await registry.image(above, ['1.0']), await registry.image(below, ['1.0', '2.0'])];
      expectDocument(await registry.manifest(above, '1.0'), one);
      expectDocument(await registry.manifest(below, '1.0'), other);
      expect(tagsOf(await registry.get(above, 'tags/list'))).toEqual(['1.0']);
      (await registry.delete(above, `manifests/${one.digest}`)).is(202);
      expect([...tagsOf(await registry.get(below, 'tags/list'))].sort()).toEqual(['1.0', '2.0']);
    }),
    check('a client that leaves in the middle of a PUT leaves no blob', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(200_000);
      const location = withQuery(await registry.begin(repository), { digest: digestOfBytes(bytes) });
      const put = registry.ask('PUT', location, { body: cut(registry, bytes, 100_000), headers: octets });
      await expect(put).rejects.toThrow();
      await expectNoBlob(registry, repository, digestOfBytes(bytes), digestOfBytes(bytes.subarray(0, 100_000)));
      await registry.blob(repository, bytes);
      await expectBlob(registry, repository, bytes);
    }),
    check(
      'a client that leaves in the middle of a PATCH goes on from where GET says',
      async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes(200_000);
        const location = await registry.begin(repository);
        const patch = registry.ask('PATCH', location, { body: cut(registry, bytes, 100_000), headers: octets });
        await expect(patch).rejects.toThrow('the client left');
        let patched: Answer | undefined;
        // The registry may still be busy with the broken request: then the place that GET tells is not the last word.
        for (let tries = 0; patched?.status !== 202 && tries < maxResumes; tries += 1) {
          const status = (await registry.ask('GET', location)).is(204);
          const received = receivedOf(status);
          expect(received).toBeLessThanOrEqual(100_000);
          const rest = bytes.subarray(received);
          patched = (await registry.patch(status.location(), rest, `${received}-199999`)).is(202, 409, 416);
        }
        (await registry.finish(patched?.is(202).location() ?? '', digestOfBytes(bytes))).is(201);
        await expectBlob(registry, repository, bytes);
      },
      'brokenChunk',
    ),
    check('a HEAD that finds the blob of another repository promises that it is here', async (registry) => {
      const [owner, repository] = [registry.repository(), registry.repository()];
      const bytes = uniqueBytes();
      const digest = await registry.blob(owner, bytes);
      const { status } = (await registry.head(repository, `blobs/${digest}`)).is(200, 404);
      if (status === 200) await expectBlob(registry, repository, bytes);
      else await expectNoBlob(registry, repository, digest);
    }),
    check('a tag that looks like a digest with a dash is a tag', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      const tag = image.digest.replace(':', '-');
      (await registry.manifest(repository, tag)).isError(404, 'MANIFEST_UNKNOWN');
      (await registry.put(repository, tag, image)).is(201);
      expectDocument(await registry.manifest(repository, tag), image);
    }),
    check('the digest comes first or last in the query of a PUT', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      const [path = '', query] = (await registry.begin(repository)).split('?');
      const digest = new URLSearchParams({ digest: digestOfBytes(bytes) }).toString();
      const turned = `${path}?${digest}${query === undefined ? '' : `&${query}`}`;
      (await registry.ask('PUT', turned, { body: bytes, headers: octets })).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('a digest in the query need not be percent-encoded', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      const location = await registry.begin(repository);
      const path = `${location}${location.includes('?') ? '&' : '?'}digest=${digestOfBytes(bytes)}`;
      (await registry.ask('PUT', path, { body: bytes, headers: octets })).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('a push without any Content-Type is a push of bytes', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      const patched = await registry.ask('PATCH', await registry.begin(repository), { body: bytes });
      const done = withQuery(patched.is(202).location(), { digest: digestOfBytes(bytes) });
      (await registry.ask('PUT', done)).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('bytes that look compressed, encoded or like JSON are bytes', async (registry) => {
      const repository = registry.repository();
      for (const head of [
        Buffer.from([0x1f, 0x8b, 8, 0]),
        Buffer.from('{"errors":['),
        Buffer.from([0xef, 0xbb, 0xbf]),
      ]) {
        const bytes = Buffer.concat([head, uniqueBytes()]);
        await registry.blob(repository, bytes);
        await expectBlob(registry, repository, bytes);
      }
    }),
    check('an upload of 60 layers and their image', async (registry) => {
      const repository = registry.repository();
      const { config } = await registry.parts(repository);
      const layers = [];
      for (let index = 0; index < 60; index += 1) layers.push((await registry.parts(repository)).layer);
      const image = imageOf(config, layers);
      (await registry.put(repository, '1.0', image)).is(201);
      expectDocument(await registry.manifest(repository, '1.0'), image);
    }),
    check('a blob may be pulled while it is pushed again', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(200_000);
      await registry.blob(repository, bytes);
      const location = await push(registry, repository, bytes, [100_000]);
      await expectBlob(registry, repository, bytes);
      (await registry.finish(location, digestOfBytes(bytes), bytes.subarray(100_000))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
  ],
};

const maxResumes = 100;

/** `0-0` is what a registry writes that has nothing yet. */
function receivedOf(status: Answer): number {
  const last = /^0-(\d+)$/.exec(status.maybe('range') ?? '0-0')?.[1];
  expect(last, 'the end of the Range').toBeDefined();
  return last === '0' ? 0 : Number(last) + 1;
}

/** The connection ends after so many bytes, when the registry has had the time of some answers to take them. */
async function* cut(registry: Registry, bytes: Buffer, after: number): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, after);
  for (let answers = 0; answers < 5; answers += 1) await registry.ask('GET', '/v2/');
  throw new Error('the client left');
}
