import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { Ledger } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { type Repository, repositoryText } from '../../src/oci/repository-name.ts';
import { digestNamed, repositoryNamed, tagNamed } from '../contract/words.ts';
import { type Act, actsWithoutContent } from '../support/ledger-acts.ts';

const digest = fc.constantFrom('a', 'b', 'c').map(digestNamed);
const repository = fc.constantFrom('docker.io/x/y', 'ghcr.io/x/y').map(repositoryNamed);
const tag = fc.constantFrom('1', '2').map(tagNamed);
const at = fc.integer({ min: 1, max: 9 });
const isPublic = fc.boolean();
const pattern = fc.constantFrom('x/y', 'x/*');

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
  fc.tuple(digest, at).map(
    ([digest, at]): Act =>
      (ledger) => {
        ledger.touch(digest, at);
        return Promise.resolve();
      },
  ),
  fc.tuple(digest, fc.subarray(['a', 'b', 'c'].map(digestNamed), { maxLength: 1 })).map(
    ([digest, inUse]): Act =>
      (ledger) =>
        ledger.evict(digest, new Set(inUse)),
  ),
  { weight: 5, arbitrary: actsWithoutContent({ repository, tag, pattern, at }) },
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
  // First of all, as it writes the marks of use that are still outstanding.
  const order = await ledger.leastUsed({ limit: 100 });
  const rest = await Promise.all([
    ...digests.flatMap((digest) => [ledger.blob(digest), ledger.manifest(digest)]),
    ...repositories.flatMap((repository) => [
      ledger.visibility(repository),
      ...['1', '2'].map((tag) => ledger.tag(repository, tagNamed(tag))),
    ]),
    ...digests.flatMap((digest) => [
      ledger.image(digest),
      ledger.namesOf(digest),
      ledger.namesAbove(digest, 100),
      ledger.contentOf([digest]),
    ]),
    ledger.blobs({ limit: 100 }),
    ledger.totals(),
    ledger.imageNames({ limit: 100 }),
    ledger.pins(),
  ]);
  return { order, rest };
}

/** Knows to which links it has said yes. */
class WitnessedLedger extends SqliteLedger {
  readonly #confirmed = new Set<string>();

  override async isLinked(repository: Repository, digest: Digest): Promise<boolean> {
    const isLinked = await super.isLinked(repository, digest);
    if (isLinked) this.#confirmed.add(`${repositoryText(repository)} ${digest}`);
    return isLinked;
  }

  hasConfirmed(repository: Repository, digest: Digest): boolean {
    return this.#confirmed.has(`${repositoryText(repository)} ${digest}`);
  }
}

/** A link that was true stays true when its content is evicted; it may be remembered, but none may be made up. */
async function checkLinks(hot: Ledger, cold: WitnessedLedger): Promise<void> {
  for (const repository of ['docker.io/x/y', 'ghcr.io/x/y'].map(repositoryNamed)) {
    for (const digest of ['a', 'b', 'c'].map(digestNamed)) {
      const remembered = await hot.isLinked(repository, digest);
      if (await cold.isLinked(repository, digest)) expect(remembered).toBe(true);
      if (remembered) expect(cold.hasConfirmed(repository, digest)).toBe(true);
    }
  }
}

test('what is remembered is what the ledger says, after any number of readers and writers at once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(act, { minLength: 1, maxLength: 6 }), { maxLength: 8 }), async (bursts) => {
      const cold = new WitnessedLedger(':memory:');
      const hot = new HotLedger(cold);
      for (const burst of bursts) {
        await Promise.all(burst.map((act) => act(hot)));
        expect(await everythingIn(hot)).toEqual(await everythingIn(cold));
        await checkLinks(hot, cold);
      }
      cold.close({ clean: true });
    }),
    { numRuns: 150 },
  );
});
