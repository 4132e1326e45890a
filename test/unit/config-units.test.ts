import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../src/config/units.ts';
import { ok } from '../../src/oci/result.ts';

describe('a size', () => {
  test.each([
    ['0', 0],
    ['1024', 1024],
    ['1B', 1],
    ['1kB', 1000],
    ['1KB', 1000],
    ['1KiB', 1024],
    ['200MB', 200_000_000],
    ['200 MB', 200_000_000],
    ['50GiB', 50 * 1024 ** 3],
    ['2TB', 2_000_000_000_000],
    ['2TiB', 2 * 1024 ** 4],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toEqual(ok(bytes));
  });

  test.each(['', 'GiB', '50G', '50 gigs', '-1', '1.5GiB', '1e3', '50GiB ', '99999999TiB', '50constructor'])(
    'refuses %j',
    (text) => {
      expect(parseSize(text).ok).toBe(false);
    },
  );

  test('written out, reads back as the same number', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseSize(formatSize(bytes))).toEqual(ok(bytes));
      }),
    );
    expect(formatSize(50 * 1024 ** 3)).toBe('50GiB');
    expect(formatSize(200_000_000)).toBe('200MB');
  });
});

describe('a duration', () => {
  test.each([
    ['0s', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
  ])('%s is %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toEqual(ok(milliseconds));
  });

  test.each(['', '5', '5 minutes', '-5m', '1h30m', '5M', '999999999999d'])('refuses %j', (text) => {
    expect(parseDuration(text).ok).toBe(false);
  });

  test('written out, reads back as the same number', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (milliseconds) => {
        expect(parseDuration(formatDuration(milliseconds))).toEqual(ok(milliseconds));
      }),
    );
    expect(formatDuration(90_000)).toBe('90s');
  });
});
