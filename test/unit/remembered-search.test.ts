import { expect, test } from 'vitest';
import type { UpstreamFailure } from '../../src/mirror/failure.ts';
import { limits } from '../../src/mirror/limits.ts';
import type { Clock, UpstreamHit } from '../../src/mirror/ports.ts';
import { RememberedSearch } from '../../src/mirror/remembered-search.ts';
import { fail, ok, type Result } from '../../src/oci/result.ts';

type Answer = Result<readonly UpstreamHit[], UpstreamFailure>;

const none: Answer = ok([]);
const failure = (seconds: number): Answer =>
  fail({ kind: 'rate-limited', reason: 'too many', retryAfterSeconds: seconds });

/** An upstream's search that answers what it is told to, at a time that passes by hand. */
function searched(answer: Answer | Promise<Answer> = none) {
  const asked: string[] = [];
  const site = { now: 1_000_000, answer, asked };
  const clock: Clock = { now: () => site.now, sleep: () => Promise.resolve() };
  const search = new RememberedSearch((query) => {
    asked.push(query);
    return Promise.resolve(site.answer);
  }, clock);
  return Object.assign(site, { search });
}

test('hits are given again for a while, and then asked for anew', async () => {
  const site = searched();
  await site.search.hits('a');
  site.now += limits.searchTtlMs - 1;
  await site.search.hits('a');
  expect(site.asked).toEqual(['a']);
  site.now += 1;
  await site.search.hits('a');
  expect(site.asked).toEqual(['a', 'a']);
});

test.each([
  ['its own time where that is longer', 120, 120_000],
  ['a time of ours where that is longer', 1, limits.searchPauseMs],
])('an upstream that gave nothing is left alone for %s', async (_, seconds, pause) => {
  const site = searched(failure(seconds));
  expect(await site.search.hits('a')).toEqual([]);
  site.answer = none;
  site.now += pause - 1;
  expect(await site.search.hits('b')).toEqual([]);
  expect(site.asked).toEqual(['a']);
  site.now += 1;
  await site.search.hits('b');
  expect(site.asked).toEqual(['a', 'b']);
});

test('what is known is still given while the upstream is left alone', async () => {
  const hit = {
    name: 'x/y',
    description: '',
    stars: 1,
    isOfficial: false,
    isAutomated: false,
  } as unknown as UpstreamHit;
  const site = searched(ok([hit]));
  await site.search.hits('a');
  site.answer = failure(60);
  await site.search.hits('b');
  expect(await site.search.hits('a')).toEqual([hit]);
});

test('no more than so many are under way at once; others are not kept waiting', async () => {
  let release: (answer: Answer) => void = () => undefined;
  const site = searched(
    new Promise<Answer>((resolve) => {
      release = resolve;
    }),
  );
  const waiting = Array.from({ length: limits.maxSearchesUnderWay }, (_, index) => site.search.hits(`a${index}`));
  expect(await site.search.hits('one more')).toEqual([]);
  expect(site.asked).toHaveLength(limits.maxSearchesUnderWay);
  release(none);
  await Promise.all(waiting);
  await site.search.hits('one more');
  expect(site.asked).toHaveLength(limits.maxSearchesUnderWay + 1);
});

test('only so many terms are remembered', async () => {
  const site = searched();
  for (let index = 0; index <= limits.maxSearches; index++) await site.search.hits(`a${index}`);
  const before = site.asked.length;
  await site.search.hits(`a${limits.maxSearches}`);
  expect(site.asked.length).toBe(before);
  await site.search.hits('a0');
  expect(site.asked.length).toBe(before + 1);
});
