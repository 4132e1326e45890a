import { expect } from 'vitest';
import { z } from 'zod';
import type { Answer } from './answer.ts';
import type { Registry } from './registry.ts';

const maxPages = 1_000;
/** `null` instead of an empty list is what Go programs write by default. */
const names = z
  .array(z.string())
  .nullable()
  .transform((list) => list ?? []);
const tagList = z.object({ name: z.string(), tags: names });
const catalogList = z.object({ repositories: names });

export function tagsOf(answer: Answer): readonly string[] {
  return answer.is(200).parsed(tagList).tags;
}

export function repositoriesOf(answer: Answer): readonly string[] {
  return answer.is(200).parsed(catalogList).repositories;
}

/** Follows `Link` to the end. */
export async function pages(registry: Registry, first: string, read: (answer: Answer) => readonly string[]) {
  const all: (readonly string[])[] = [];
  for (let path: string | undefined = first; path !== undefined; ) {
    const answer = await registry.ask('GET', path);
    all.push(read(answer));
    path = answer.next();
    expect(all.length, 'pages').toBeLessThan(maxPages);
  }
  return all;
}
