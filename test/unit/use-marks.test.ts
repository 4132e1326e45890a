import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { UseMarks } from '../../src/ledger/use-marks.ts';
import { digestNamed } from '../contract/words.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('many marks are written in small pieces, each once, the latest time of each', async () => {
  const pieces: (readonly (readonly [string, number])[])[] = [];
  const marks = new UseMarks((some) => pieces.push([...some]));
  const digests = Array.from({ length: 130 }, (_, place) => digestNamed(`${place}`));
  for (const digest of digests) marks.mark(digest, 1);
  for (const digest of digests) marks.mark(digest, 2);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(pieces.map((piece) => piece.length)).toEqual([50, 50, 30]);
  expect(new Map(pieces.flat())).toEqual(new Map(digests.map((digest) => [digest, 2])));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(pieces).toHaveLength(3);
});

test('marks that cannot be written are kept, and go with the next ones', async () => {
  const written: (readonly [string, number])[] = [];
  let isFull = true;
  const marks = new UseMarks((some) => {
    if (isFull) throw new Error('the disk is full');
    written.push(...some);
  });
  marks.mark(digestNamed('a'), 1);
  await vi.advanceTimersByTimeAsync(1_100);
  isFull = false;
  marks.mark(digestNamed('b'), 2);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(written).toEqual([
    [digestNamed('a'), 1],
    [digestNamed('b'), 2],
  ]);
});
