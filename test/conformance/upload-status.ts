import { digestOfBytes } from '../support/fake-registry/content.ts';
import { type Area, check } from './check.ts';
import { uniqueBytes } from './documents.ts';
import { push } from './push-chunked.ts';
import { expectBlob, expectNoBlob } from './push-monolithic.ts';
import { octets, type Registry } from './registry.ts';
import { expectRange } from './upload-range.ts';

/** Well-formed for registries that name uploads by UUID, and never handed out. */
const madeUp = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';

export const uploadStatus: Area = {
  title: 'status and end of an upload',
  checks: [
    check('a new upload is 204, with nothing received and a Location', async (registry) => {
      const status = (await registry.ask('GET', await registry.begin(registry.repository()))).is(204);
      expectRange(status, 0);
      (await registry.ask('GET', status.location())).is(204);
    }),
    check('after a chunk it tells what was received, and the upload goes on at its Location', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(300);
      const location = await push(registry, repository, bytes, [100]);
      const status = (await registry.ask('GET', location)).is(204);
      expectRange(status, 100);
      const patched = (await registry.patch(status.location(), bytes.subarray(100), '100-299')).is(202);
      expectRange((await registry.ask('GET', patched.location())).is(204), 300);
      (await registry.finish(patched.location(), digestOfBytes(bytes))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('an upload that nobody began is 404 to every method', async (registry) => {
      const repository = registry.repository();
      await registry.blob(repository);
      await expectGone(
        registry,
        `/v2/${repository}/blobs/uploads/${madeUp}`,
        'BLOB_UPLOAD_UNKNOWN',
        'BLOB_UPLOAD_INVALID',
      );
    }),
    check(
      'an upload that nobody began is BLOB_UPLOAD_UNKNOWN to every method, whatever its name',
      async (registry) => {
        const repository = registry.repository();
        await registry.blob(repository);
        for (const name of [madeUp, 'x', '0', 'a'.repeat(500)]) {
          await expectGone(registry, `/v2/${repository}/blobs/uploads/${name}`);
        }
      },
      'uploadUnknown',
    ),
    check('a completed upload has no status any more', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes();
      const location = await registry.begin(repository);
      (await registry.finish(location, digestOfBytes(bytes), bytes)).is(201);
      (await registry.ask('GET', location)).isError(404, 'BLOB_UPLOAD_UNKNOWN');
    }),
    check('DELETE cancels: 204, and from then on the upload is 404 to every method', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(200);
      const location = await push(registry, repository, bytes, [100]);
      (await registry.ask('DELETE', location)).is(204);
      await expectGone(registry, location);
      await expectNoBlob(registry, repository, digestOfBytes(bytes.subarray(0, 100)));
    }),
    check('cancelling one upload leaves the others of the repository alone', async (registry) => {
      const repository = registry.repository();
      const bytes = uniqueBytes(200);
      const [kept, cancelled] = [
        await push(registry, repository, bytes, [100]),
        await push(registry, repository, uniqueBytes(100), [100]),
      ];
      (await registry.ask('DELETE', cancelled)).is(204);
      (await registry.finish(kept, digestOfBytes(bytes), bytes.subarray(100))).is(201);
      await expectBlob(registry, repository, bytes);
    }),
    check('an upload is not found under another repository', async (registry) => {
      const [owner, other] = [registry.repository(), registry.repository()];
      await registry.blob(other);
      const bytes = uniqueBytes();
      const location = await registry.begin(owner);
      const elsewhere = location.replace(`/${owner}/`, `/${other}/`);
      for (const answer of [
        await registry.ask('GET', elsewhere),
        await registry.patch(elsewhere, bytes),
        await registry.finish(elsewhere, digestOfBytes(bytes), bytes),
        await registry.ask('DELETE', elsewhere),
      ]) {
        answer.isError([400, 404], 'BLOB_UPLOAD_UNKNOWN', 'BLOB_UPLOAD_INVALID');
      }
      await expectNoBlob(registry, other, digestOfBytes(bytes));
      expectRange((await registry.ask('GET', location)).is(204), 0);
    }),
  ],
};

async function expectGone(registry: Registry, location: string, ...codes: readonly string[]): Promise<void> {
  const bytes = uniqueBytes();
  for (const answer of [
    await registry.ask('GET', location),
    await registry.ask('PATCH', location, { body: bytes, headers: octets }),
    await registry.finish(location, digestOfBytes(bytes), bytes),
    await registry.ask('DELETE', location),
  ]) {
    answer.isError(404, ...(codes.length > 0 ? codes : ['BLOB_UPLOAD_UNKNOWN']));
  }
}
