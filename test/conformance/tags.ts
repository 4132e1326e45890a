import { expect } from 'vitest';
import { z } from 'zod';
import { type Area, check } from './check.ts';
import { pages, tagsOf } from './listing.ts';
import type { Registry } from './registry.ts';

/** Pushed in this order, so that no order of arrival passes for a sorted one. */
const pushed = ['v2', 'v10', 'latest', 'v1', '1.0', 'zz', '0'];
const sorted = ['0', '1.0', 'latest', 'v1', 'v10', 'v2', 'zz'];

export const tags: Area = {
  title: 'tags/list',
  checks: [
    check('all tags of a repository, once each, under its name', async (registry) => {
      const repository = await withTags(registry);
      const answer = await registry.get(repository, 'tags/list');
      expect([...tagsOf(answer)].sort()).toEqual(sorted);
      expect(answer.parsed(z.object({ name: z.string() })).name).toBe(repository);
      expect(answer.header('content-type')).toMatch(/^application\/json(;|$)/);
    }),
    check(
      'tags are in order',
      async (registry) => {
        expect(tagsOf(await registry.get(await withTags(registry), 'tags/list'))).toEqual(sorted);
      },
      'sortedTags',
    ),
    check('a manifest pushed by digest is no tag', async (registry) => {
      const repository = await withTags(registry);
      await registry.image(repository);
      expect([...tagsOf(await registry.get(repository, 'tags/list'))].sort()).toEqual(sorted);
    }),
    check(
      'n bounds the page, and Link leads through all of them to the end',
      async (registry) => {
        const repository = await withTags(registry);
        for (const n of [1, 2, 3, 6]) {
          const listed = await pages(registry, `/v2/${repository}/tags/list?n=${n}`, tagsOf);
          expect(listed.flat()).toEqual(sorted);
          expect(listed.slice(0, -1).every((page) => page.length === n)).toBe(true);
          expect(listed.at(-1)?.length).toBeLessThanOrEqual(n);
        }
      },
      'pagedTags',
    ),
    check('a page that holds all of them has no Link', async (registry) => {
      const repository = await withTags(registry);
      for (const n of [sorted.length + 1, 1_000]) {
        const answer = await registry.get(repository, `tags/list?n=${n}`);
        expect([...tagsOf(answer)].sort()).toEqual(sorted);
        expect(answer.next()).toBeUndefined();
      }
    }),
    check(
      'n=0 is an empty list and no Link',
      async (registry) => {
        const repository = await withTags(registry);
        const answer = await registry.get(repository, 'tags/list?n=0');
        expect(tagsOf(answer)).toEqual([]);
        expect(answer.next()).toBeUndefined();
      },
      'pagedTags',
    ),
    check(
      'last begins behind that tag, with n and without',
      async (registry) => {
        const repository = await withTags(registry);
        for (const [query, expected] of [
          ['last=latest', ['v1', 'v10', 'v2', 'zz']],
          ['n=2&last=latest', ['v1', 'v10']],
          ['last=v1&n=1', ['v10']],
        ] as const) {
          expect(tagsOf(await registry.get(repository, `tags/list?${query}`))).toEqual(expected);
        }
      },
      'pagedTags',
    ),
    check(
      'last need not be a tag that exists',
      async (registry) => {
        const repository = await withTags(registry);
        expect(tagsOf(await registry.get(repository, 'tags/list?last=m'))).toEqual(['v1', 'v10', 'v2', 'zz']);
        expect(tagsOf(await registry.get(repository, 'tags/list?last=zzz'))).toEqual([]);
      },
      'pagedTags',
    ),
    ...['-1', 'x', '1e3', '1.5', '99999999999999999999'].map((n) =>
      check(
        `n=${n} is 400`,
        async (registry) => {
          const repository = await withTags(registry);
          (await registry.get(repository, `tags/list?n=${n}`)).isError(400);
        },
        'checkedPageSize',
      ),
    ),
    check(
      'a repository without a push has an empty list',
      async (registry) => {
        expect(tagsOf(await registry.get(registry.repository(), 'tags/list'))).toEqual([]);
      },
      'neverPushedTags',
    ),
    check(
      'a repository with blobs only has an empty list',
      async (registry) => {
        const repository = registry.repository();
        await registry.blob(repository);
        expect(tagsOf(await registry.get(repository, 'tags/list'))).toEqual([]);
      },
      'neverPushedTags',
    ),
    check('a repository whose every manifest was deleted has an empty list', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0', '2.0']);
      (await registry.delete(repository, `manifests/${image.digest}`)).is(202);
      expect(tagsOf(await registry.get(repository, 'tags/list'))).toEqual([]);
    }),
  ],
};

async function withTags(registry: Registry): Promise<string> {
  const repository = registry.repository();
  await registry.image(repository, pushed);
  return repository;
}
