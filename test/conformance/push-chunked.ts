import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { type Area, check } from './check.ts';
import { uniqueBytes } from './documents.ts';
import { expectBlob, expectNoBlob, pieces } from './push-monolithic.ts';
import { octets, type Registry } from './registry.ts';
import { expectRange } from './upload-range.ts';

/** Ends of the chunks, the last one the size of the blob. Uneven, so that no buffer's size hides a fault. */
const ends = [1, 4_096, 4_097, 70_000, 150_001];
const size = 150_001;

export const pushChunked: Area = {
  title: 'push of a blob in chunks',
  checks: [
    check(
      'a streamed PATCH without Content-Length or Content-Range, as Docker sends it, then an empty PUT',
      async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes(size);
        const location = await registry.begin(repository);
        const patched = await registry.ask('PATCH', location, { body: pieces(bytes), headers: octets });
        expect(patched.is(202).header('range')).toBe(`0-${size - 1}`);
        (await registry.finish(patched.location(), digestOfBytes(bytes))).is(201);
        await expectBlob(registry, repository, bytes);
      },
    ),
    check('PATCHes without Content-Range are appended one after the other', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(size);
      let location = await registry.begin(repository);
      for (const [start, end] of chunks()) {
        const patched = (await registry.patch(location, bytes.subarray(start, end))).is(202);
        expect(patched.header('range')).toBe(`0-${end - 1}`);
        location = patched.location();
      }
      (await registry.finish(location, digestOfBytes(bytes))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('chunks with Content-Range from 0, inclusive; each answer tells how far it is', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(size);
      const location = await push(registry, repository, bytes, ends);
      (await registry.finish(location, digestOfBytes(bytes))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('the last chunk may come in the body of the PUT, with Content-Range', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(size);
      const location = await push(registry, repository, bytes, ends.slice(0, -1));
      const rest = bytes.subarray(70_000);
      const range = { 'content-range': `70000-${size - 1}` };
      (await registry.finish(location, digestOfBytes(bytes), rest, range)).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('the last chunk may come in the body of the PUT, without Content-Range', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(size);
      const location = await push(registry, repository, bytes, ends.slice(0, -1));
      (await registry.finish(location, digestOfBytes(bytes), bytes.subarray(70_000))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('PUT with another digest after chunks is 400, and nothing is stored', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(size);
      const digest = digestOfBytes(uniqueBytes());
      const location = await push(registry, repository, bytes, ends);
      (await registry.finish(location, digest)).isError(400, 'DIGEST_INVALID');
      await expectNoBlob(registry, repository, digest, digestOfBytes(bytes));
    }),
    ...(
      [
        ['a first chunk that does not begin at 0', [], '100-199'],
        ['a chunk that leaves a gap', [100], '101-200'],
        ['a chunk once more', [100], '0-99'],
        ['a chunk that overlaps the last one', [100], '99-198'],
      ] as const
    ).map(([what, before, contentRange]) =>
      check(
        `${what} is 416, the state stays as it was, and the upload can go on`,
        async (registry) => {
          const repository = registry.repository();
          const bytes = uniqueBytes(200);
          const location = await push(registry, repository, bytes, before);
          (await registry.patch(location, uniqueBytes(100), contentRange)).isError(416);
          const status = (await registry.ask('GET', location)).is(204);
          const done = before[0] ?? 0;
          expectRange(status, done);
          (await registry.patch(status.location(), bytes.subarray(done), `${done}-199`)).is(202);
          (await registry.finish(status.location(), digestOfBytes(bytes))).is(201);
          await expectBlob(registry, repository, bytes);
        },
        'orderedChunks',
      ),
    ),
    check(
      'a last chunk in the PUT that does not begin where the upload stands is 416, and the upload can go on',
      async (registry) => {
        const repository = registry.repository();
        const bytes = uniqueBytes(200);
        const location = await push(registry, repository, bytes, [100]);
        const wrong = { 'content-range': '101-200' };
        (await registry.finish(location, digestOfBytes(bytes), bytes.subarray(100), wrong)).isError(416);
        const status = (await registry.ask('GET', location)).is(204);
        expectRange(status, 100);
        (await registry.finish(status.location(), digestOfBytes(bytes), bytes.subarray(100))).is(201);
      },
      'orderedChunks',
    ),
    ...['0-98', '0-100', '0-4294967296', '0-99999999999999999999'].map((contentRange) =>
      check(
        `Content-Range: ${contentRange} over 100 bytes is refused, and nothing is appended`,
        async (registry) => {
          const location = await registry.begin(registry.repository());
          (await registry.patch(location, uniqueBytes(100), contentRange)).isError([400, 416]);
          expectRange((await registry.ask('GET', location)).is(204), 0);
        },
        'checkedContentRange',
      ),
    ),
    ...['x', '0', '0-', '-99', '99-0', '0x0-0x63', '0-99-', '٠-٩'].map((contentRange) =>
      check(
        `Content-Range: ${contentRange} is refused, and nothing is appended`,
        async (registry) => {
          const location = await registry.begin(registry.repository());
          const header = Buffer.from(contentRange).toString('latin1');
          (await registry.patch(location, uniqueBytes(100), header)).isError([400, 416]);
          expectRange((await registry.ask('GET', location)).is(204), 0);
        },
        'checkedContentRange',
      ),
    ),
    check('a chunk after the end is 404 BLOB_UPLOAD_UNKNOWN, and so is a second PUT', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(100);
      const location = await push(registry, repository, bytes, [100]);
      (await registry.finish(location, digestOfBytes(bytes))).is(201);
      (await registry.patch(location, uniqueBytes(10))).isError(404, 'BLOB_UPLOAD_UNKNOWN');
      (await registry.finish(location, digestOfBytes(bytes))).isError(404, 'BLOB_UPLOAD_UNKNOWN');
      await expectBlob(registry, repository, bytes);
    }),
    check('two uploads to one repository, chunk by chunk in turn, do not mix', async (registry) => {
      const repository = registry.repository();
      const [first, second] = [uniqueBytes(size), uniqueBytes(size)];
      let locations = [await registry.begin(repository), await registry.begin(repository)] as const;
      for (const [start, end] of chunks()) {
        locations = [
          await chunk(registry, locations[0], first, [start, end]),
          await chunk(registry, locations[1], second, [start, end]),
        ];
      }
      (await registry.finish(locations[1], digestOfBytes(second))).is(201);
      (await registry.finish(locations[0], digestOfBytes(first))).is(201);
      await expectBlob(registry, repository, first);
      await expectBlob(registry, repository, second);
    }),
    check('OCI-Chunk-Min-Length, where it is sent, is a number of bytes', async (registry) => {
      const begun = await registry.ask('POST', `/v2/${registry.repository()}/blobs/uploads/`);
      expect(begun.is(202).maybe('oci-chunk-min-length') ?? '1').toMatch(/^\d+$/);
    }),
  ],
};

function chunks(to: readonly number[] = ends): readonly (readonly [start: number, end: number])[] {
  return to.map((end, index) => [to[index - 1] ?? 0, end]);
}

async function chunk(
  registry: Registry,
  location: string,
  bytes: Buffer,
  [start, end]: readonly [number, number],
): Promise<string> {
  const patched = (await registry.patch(location, bytes.subarray(start, end), `${start}-${end - 1}`)).is(202);
  expect(patched.header('range')).toBe(`0-${end - 1}`);
  return patched.location();
}

/** Begins an upload and sends what ends there; resolves to the Location where it goes on. */
export async function push(
  registry: Registry,
  repository: string,
  bytes: Buffer,
  to: readonly number[],
): Promise<string> {
  let location = await registry.begin(repository);
  for (const part of chunks(to)) location = await chunk(registry, location, bytes, part);
  return location;
}
