import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRange, resolveRange } from '../../src/oci/range.ts';

/** Which bytes of a body of `size` a well-formed single range asks for, found byte by byte. */
function naiveBytes(first: string, last: string, size: number): number[] {
  const positions = Array.from({ length: size }, (_, position) => position);
  if (first === '') return positions.filter((position) => BigInt(size - position) <= BigInt(last));
  return positions.filter(
    (position) => BigInt(position) >= BigInt(first) && (last === '' || BigInt(position) <= BigInt(last)),
  );
}

const digits = fc.oneof(
  fc.nat(60).map(String),
  fc.constantFrom('00', '007', '9007199254740991', '9007199254740993', '9'.repeat(40)),
);
const size = fc.oneof(fc.nat(50), fc.constant(0));

describe('a Range header', () => {
  test('asks for exactly the bytes that it names, or for none', () => {
    fc.assert(
      fc.property(fc.option(digits, { nil: '' }), fc.option(digits, { nil: '' }), size, (first, last, size) => {
        const parsed = parseRange(`bytes=${first}-${last}`);
        if (parsed === undefined) throw new Error(`bytes=${first}-${last} is a range`);
        const resolved = parsed === 'invalid' ? undefined : resolveRange(parsed, size);
        const asked = first === '' && last === '' ? [] : naiveBytes(first, last, size);
        expect(resolved).toEqual(asked.length === 0 ? undefined : { first: asked[0], last: asked.at(-1) });
      }),
      { numRuns: 5_000 },
    );
  });

  test('whatever it is, never leads out of the body', () => {
    const header = fc.oneof(
      fc.string({ unit: fc.constantFrom(...Array.from('0123456789-=, '), 'bytes='), maxLength: 40 }),
      fc
        .string({ unit: fc.constantFrom(...Array.from('0123456789-, \t')), maxLength: 300 })
        .map((rest) => `bytes=${rest}`),
      fc.string({ unit: 'binary', maxLength: 300 }),
    );
    const bodySize = fc.oneof(fc.nat(100), fc.constantFrom(0, 1, 2 ** 40, Number.MAX_SAFE_INTEGER));
    fc.assert(
      fc.property(header, bodySize, (header, size) => {
        const parsed = parseRange(header);
        if (parsed === undefined || parsed === 'invalid') return;
        const resolved = resolveRange(parsed, size);
        if (resolved === undefined) return;
        const { first, last } = resolved;
        expect(Number.isSafeInteger(first) && Number.isSafeInteger(last)).toBe(true);
        expect(0 <= first && first <= last && last < size).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  test.each([
    [undefined, undefined],
    ['', undefined],
    ['items=0-1', undefined],
    ['bytes', undefined],
    ['bytes=0-1,3-4', undefined],
    ['bytes=0-,-1', undefined],
    ['bytes=', 'invalid'],
    ['bytes=-', 'invalid'],
    ['bytes=x', 'invalid'],
    ['bytes=5', 'invalid'],
    ['bytes=5-4', 'invalid'],
    ['bytes=-5-', 'invalid'],
    ['bytes=0x10-', 'invalid'],
    ['bytes=1.5-', 'invalid'],
    ['bytes=1e3-', 'invalid'],
    ['bytes=+1-', 'invalid'],
    ['bytes=١-', 'invalid'],
    [`bytes=${'1'.repeat(1_000)}-`, 'invalid'],
  ])('%j is %j', (header, expected) => {
    expect(parseRange(header)).toBe(expected);
  });

  test.each([
    ['bytes=0-0', { kind: 'from', first: 0, last: 0 }],
    ['bytes=10-', { kind: 'from', first: 10 }],
    ['bytes=-10', { kind: 'suffix', length: 10 }],
    ['Bytes= 1 - 2 ', { kind: 'from', first: 1, last: 2 }],
  ])('%j is understood', (header, expected) => {
    expect(parseRange(header)).toEqual(expected);
  });

  test('of a hundred kilobytes is judged at once', () => {
    const started = performance.now();
    for (const piece of [' ', '1', '-', ',', ' 1', '1 -', '0-0,'])
      expect([undefined, 'invalid']).toContain(parseRange(`bytes=${piece.repeat(100_000)}`));
    for (const piece of [' ', '1', '1 ']) parseRange(`bytes=${piece.repeat(64)}x`);
    expect(performance.now() - started).toBeLessThan(500);
  });
});
