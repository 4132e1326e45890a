import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { limits } from '../../src/mirror/limits.ts';
import { Registries } from '../../src/mirror/registries.ts';
import { Search } from '../../src/mirror/search.ts';
import { parseSearchTerm } from '../../src/mirror/search-term.ts';
import { systemClock } from '../../src/ops/clock.ts';
import { digestNamed, repositoryNamed } from '../contract/words.ts';
import { upstreamOf } from '../upstream/support.ts';

test('of very many repositories a search gives the first ones, and others have their turn while it looks', async () => {
  const ledger = new SqliteLedger(':memory:');
  await using upstream = upstreamOf('http://127.0.0.1:1');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = { digest: digestNamed('m'), size: 1, isPublic: true, storedAt: 1, mediaType };
  const count = 2 * limits.maxLocalHits + limits.repositoriesPerLook;
  for (let index = 0; index < count; index++) {
    const number = String(index).padStart(6, '0');
    await ledger.addManifest(
      manifest,
      [],
      repositoryNamed(`docker.io/team/${index % 2 === 0 ? 'other' : 'app'}-${number}`),
    );
  }
  const registries = new Registries(
    new Map([['docker.io', { upstream, privateRepositories: 'users', tagTtlMs: () => 0 }]]),
  );
  const search = new Search({ ledger, registries, clock: systemClock });
  const term = parseSearchTerm('team');
  if (!term.ok) throw new Error(term.failure.reason);
  let turns = 0;
  let isLooking = true;
  const turn = () => {
    turns++;
    if (isLooking) setImmediate(turn);
  };
  setImmediate(turn);
  const table = { registries: new Set(['docker.io']), defaultRegistry: 'docker.io', privatePatterns: [] };
  const mayPull = ({ name }: { readonly name: string }) => name.startsWith('team/other');
  const hits = await search.find(term.value, { table, mayPull });
  isLooking = false;
  expect(hits).toHaveLength(limits.maxLocalHits);
  expect(hits[0]?.name).toBe('team/other-000000');
  expect(turns).toBeGreaterThanOrEqual(4);
  ledger.close({ clean: true });
});
