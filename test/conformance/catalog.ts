import { expect } from 'vitest';
import { type Area, check } from './check.ts';
import { pages, repositoriesOf } from './listing.ts';
import type { Registry } from './registry.ts';

/** The catalog is of the whole registry: other checks' repositories are in it too. */
export const catalog: Area = {
  title: '_catalog (of the Docker registry; the OCI has none)',
  checks: [
    check('every repository with an image is listed once, sorted', async (registry) => {
      const own = await withImages(registry, 3);
      const listed = (await pages(registry, '/v2/_catalog', repositoriesOf)).flat();
      expect(listed.filter((name) => own.includes(name))).toEqual(own);
      expect(listed).toEqual([...new Set(listed)].sort());
    }),
    check('n bounds the page, and Link leads through all of them to the end', async (registry) => {
      const own = await withImages(registry, 5);
      const all = (await pages(registry, '/v2/_catalog', repositoriesOf)).flat();
      for (const n of [7, 50]) {
        const listed = await pages(registry, `/v2/_catalog?n=${n}`, repositoriesOf);
        expect(listed.flat()).toEqual(all);
        expect(listed.every((page) => page.length <= n)).toBe(true);
      }
      expect(own.filter((name) => !all.includes(name))).toEqual([]);
    }),
    check('last begins behind that repository', async (registry) => {
      const [first = '', second = '', third = ''] = await withImages(registry, 3);
      const listed = repositoriesOf(await registry.ask('GET', `/v2/_catalog?n=2&last=${encodeURIComponent(first)}`));
      expect(listed).toEqual([second, third]);
    }),
    ...['-1', 'x', '1e3', '99999999999999999999'].map((n) =>
      check(
        `n=${n} is 400`,
        async ({ ask }) => {
          (await ask('GET', `/v2/_catalog?n=${n}`)).isError(400);
        },
        'checkedPageSize',
      ),
    ),
  ],
};

async function withImages(registry: Registry, count: number): Promise<readonly string[]> {
  const names = Array.from({ length: count }, () => registry.repository());
  for (const name of [...names].reverse()) await registry.image(name, ['1.0']);
  return names;
}
