import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { Manifests } from '../../src/mirror/manifests.ts';
import { type ManifestRecord, NoRoom, type Upstream } from '../../src/mirror/ports.ts';
import { Registries } from '../../src/mirror/registries.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { Reference } from '../../src/oci/reference.ts';
import type { Repository } from '../../src/oci/repository-name.ts';
import { ok } from '../../src/oci/result.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Evictor } from '../../src/store/evictor.ts';
import { repositoryNamed } from '../contract/words.ts';

const mediaType = 'application/vnd.oci.image.index.v1+json';
const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] }));
const digest = digestOf(bytes);
const reference: Reference = { kind: 'digest', digest };
const [app, other] = ['docker.io/library/app', 'docker.io/library/other'].map(repositoryNamed) as [
  Repository,
  Repository,
];

/** An upstream that has the one manifest, in every repository. */
const upstream = {
  registry: 'docker.io',
  hasCredentials: false,
  getManifest: () =>
    Promise.resolve(
      ok({ mediaType, digest, size: bytes.length, withCredentials: false, bytes: Uint8Array.from(bytes) }),
    ),
} as Partial<Upstream> as Upstream;

async function parts(ledger: SqliteLedger) {
  const root = await mkdtemp(join(tmpdir(), 'entrepot-races-'));
  const budget = new Budget(1_000_000);
  const store = await DiskBlobStore.open(root, budget, { minFree: 0 });
  store.lookUp = (digest) => ledger.blob(digest);
  const registries = new Registries(
    new Map([['docker.io', { upstream, privateRepositories: 'users', tagTtlMs: () => 1_000 }]]),
  );
  const manifests = new Manifests({ store, ledger, registries, clock: systemClock });
  const evictor = new Evictor({
    store,
    ledger,
    budget,
    isPinned: () => false,
    pinnedBytes: () => Promise.resolve(0),
    onEvicted: () => undefined,
    onExhausted: () => undefined,
    onError: (error) => {
      throw error;
    },
    now: Date.now,
    signal: new AbortController().signal,
  });
  const agree = async () => {
    const row = await ledger.blob(digest);
    await using reader = await store.open(digest);
    const file = reader !== undefined;
    expect({ row: row !== undefined, taken: budget.taken }).toEqual({ row: file, taken: file ? bytes.length : 0 });
  };
  const end = async () => {
    ledger.close({ clean: false });
    await rm(root, { recursive: true });
  };
  return { manifests, evictor, agree, [Symbol.asyncDispose]: end };
}

test('a manifest that is fetched while it is being evicted has both a row and a file, or neither', async () => {
  await using site = await parts(new SqliteLedger(':memory:'));
  for (let round = 0; round < 100; round++) {
    await site.manifests.fetch(app, reference).result;
    const evicting = site.evictor.expire(Number.MAX_SAFE_INTEGER);
    // At some moment of the eviction, another one each round.
    for (let turn = 0; turn < round % 25; turn++) await Promise.resolve();
    const fetched = await site.manifests.fetch(app, reference).result;
    await evicting;
    await site.agree();
    expect(fetched.ok && fetched.value.stored).toBe(true);
  }
});

test('of two repositories that fetch the same manifest, one whose row cannot be written costs the other nothing', async () => {
  class HalfFull extends SqliteLedger {
    override addManifest(...parameters: Parameters<SqliteLedger['addManifest']>): Promise<ManifestRecord> {
      if (parameters[2] === other) return Promise.reject(new NoRoom('the disk is full'));
      return super.addManifest(...parameters);
    }
  }
  await using site = await parts(new HalfFull(':memory:'));
  const fetches = [app, other].map((repository) => site.manifests.fetch(repository, reference).result);
  expect((await Promise.all(fetches)).map((fetched) => fetched.ok && fetched.value.stored)).toEqual([true, false]);
  await site.agree();
});
