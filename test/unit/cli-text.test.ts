import { expect, test } from 'vitest';
import { ageText, countText, sizeText, table } from '../../src/cli/text.ts';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1024 ** 2 - 1, '1.0 MiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [1024 ** 6, '1024.0 PiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(sizeText(bytes)).toBe(text);
});

test.each([
  [59_999, 'under 1m'],
  [60_000, '1m'],
  [3 * 3_600_000 + 1, '3h'],
  [86_400_000, '1d'],
  [-5_000, 'under 1m'],
])('an age of %d ms is %s', (ms, text) => {
  expect(ageText('2026-01-01T00:00:00.000Z', Date.parse('2026-01-01T00:00:00.000Z') + ms)).toBe(text);
});

test('counts agree with their noun', () => {
  expect([countText(0, 'blob'), countText(1, 'blob'), countText(12_345, 'blob')]).toEqual([
    '0 blobs',
    '1 blob',
    '12,345 blobs',
  ]);
});

test('a table is as wide as it must be, however long it is', () => {
  expect(
    table([
      ['a', 'bb', ''],
      ['ccc', 'd', 'e'],
    ]),
  ).toBe('a    bb\nccc  d   e\n');
  expect(table(Array.from({ length: 200_000 }, () => ['x', 'y']))).toHaveLength(200_000 * 5);
});
