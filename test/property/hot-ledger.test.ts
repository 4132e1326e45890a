import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { Ledger } from '../../src/mirror/ports.ts';
import { digestNamed, repositoryNamed, tagNamed } from '../contract/words.ts';

const digest = fc.constantFrom('a', 'b', 'c').map(digestNamed);
const repository = fc.constantFrom('docker.io/x/y', 'ghcr.io/x/y').map(repositoryNamed);
const tag = fc.constantFrom('1', '2').map(tagNamed);
const at = fc.integer({ min: 1, max: 9 });
const isPublic = fc.boolean();

type Act = (ledger: Ledger) => Promise<unknown>;

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(digest, isPublic, at, repository).map(
    ([digest, isPublic, storedAt, repository]): Act =>
      (ledger) =>
        ledger.addBlob({ digest, isPublic, storedAt, size: 1 }, repository),
  ),
  fc.tuple(digest, isPublic, at, repository, digest).map(
    ([digest, isPublic, storedAt, repository, child]): Act =>
      (ledger) =>
        ledger.addManifest(
          { digest, isPublic, storedAt, size: 1, mediaType: 'application/vnd.oci.image.manifest.v1+json' },
          [{ digest: child, size: 1, kind: 'blob' }],
          repository,
        ),
  ),
  digest.map(
    (digest): Act =>
      (ledger) =>
        ledger.forget(digest),
  ),
  fc.tuple(repository, digest, isPublic, at).map(
    ([repository, digest, isPublic, at]): Act =>
      (ledger) =>
        ledger.link(repository, { digest, isPublic }, at),
  ),
  fc.tuple(repository, tag, digest, at).map(
    ([repository, tag, digest, at]): Act =>
      (ledger) =>
        ledger.setTag(repository, tag, digest, at),
  ),
  fc.tuple(repository, tag).map(
    ([repository, tag]): Act =>
      (ledger) =>
        ledger.removeTag(repository, tag),
  ),
  fc.tuple(repository, tag).map(
    ([repository, tag]): Act =>
      (ledger) =>
        ledger.settleTag(repository, tag),
  ),
  fc.tuple(repository, isPublic, at).map(
    ([repository, isPublic, at]): Act =>
      (ledger) =>
        ledger.setVisibility(repository, isPublic, at),
  ),
  // Reads, so that there is something remembered to be wrong about.
  fc.tuple(repository, tag, digest).map(
    ([repository, tag, digest]): Act =>
      async (ledger) => [
        await ledger.blob(digest),
        await ledger.manifest(digest),
        await ledger.tag(repository, tag),
        await ledger.isLinked(repository, digest),
        await ledger.visibility(repository),
      ],
  ),
);

async function everythingIn(ledger: Ledger): Promise<unknown> {
  const digests = ['a', 'b', 'c'].map(digestNamed);
  const repositories = ['docker.io/x/y', 'ghcr.io/x/y'].map(repositoryNamed);
  return Promise.all([
    ...digests.flatMap((digest) => [ledger.blob(digest), ledger.manifest(digest)]),
    ...repositories.flatMap((repository) => [
      ledger.visibility(repository),
      ...['1', '2'].map((tag) => ledger.tag(repository, tagNamed(tag))),
      ...digests.map((digest) => ledger.isLinked(repository, digest)),
    ]),
  ]);
}

test('what is remembered is what the ledger says, after any number of readers and writers at once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(act, { minLength: 1, maxLength: 6 }), { maxLength: 8 }), async (bursts) => {
      const cold = new SqliteLedger(':memory:');
      const hot = new HotLedger(cold);
      for (const burst of bursts) {
        await Promise.all(burst.map((act) => act(hot)));
        expect(await everythingIn(hot)).toEqual(await everythingIn(cold));
      }
      cold.close({ clean: true });
    }),
    { numRuns: 150 },
  );
});
