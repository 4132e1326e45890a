import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { algorithmOf, Digester, digestOf, hexOf, parseDigest } from '../../src/oci/digest.ts';

const hexDigit = fc.constantFrom(...Array.from('0123456789abcdef'));
const digestText = fc.oneof(
  fc.string({ unit: hexDigit, minLength: 64, maxLength: 64 }).map((hex) => `sha256:${hex}`),
  fc.string({ unit: hexDigit, minLength: 128, maxLength: 128 }).map((hex) => `sha512:${hex}`),
);

test('what is parsed prints as it was, and in its two halves', () => {
  fc.assert(
    fc.property(digestText, (text) => {
      const parsed = parseDigest(text);
      if (!parsed.ok) throw new Error(parsed.failure.reason);
      expect(parsed.value).toBe(text);
      expect(`${algorithmOf(parsed.value)}:${hexOf(parsed.value)}`).toBe(text);
    }),
  );
});

test('a digest changed in any way is either another digest or none: never taken for one that it is not', () => {
  const grammar = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
  const edit = fc.record({
    at: fc.nat(140),
    remove: fc.nat(3),
    insert: fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom('\n', ':', '/', '..', 'A', '%3a', ' '),
    ),
  });
  fc.assert(
    fc.property(digestText, fc.array(edit, { minLength: 1, maxLength: 3 }), (text, edits) => {
      const changed = edits.reduce(
        (before, { at, remove, insert }) => before.slice(0, at) + insert + before.slice(at + remove),
        text,
      );
      expect(parseDigest(changed).ok).toBe(
        changed.length === text.length && grammar.test(changed) && !/\n/.test(changed),
      );
    }),
    { numRuns: 2_000 },
  );
});

test('no text whatever is taken for a digest unless it is one, and every refusal has a short reason', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string().map((text) => `sha256:${text}`),
      ),
      (text) => {
        const parsed = parseDigest(text);
        if (parsed.ok) expect(text).toMatch(/^sha(256|512):[0-9a-f]+$/);
        else expect(parsed.failure.reason.length).toBeLessThan(200);
      },
    ),
  );
});

test.each(['constructor', '__proto__', 'toString', 'sha1', 'md5', 'SHA256', 'sha384', 'sha256+b64', ''])(
  'the algorithm %j is none of ours',
  (algorithm) => {
    for (const length of [0, 32, 40, 64, 128]) expect(parseDigest(`${algorithm}:${'a'.repeat(length)}`).ok).toBe(false);
  },
);

test('ten megabytes of digest are refused at once', () => {
  const started = performance.now();
  for (const text of ['a'.repeat(1e7), `sha256:${'a'.repeat(1e7)}`, ':'.repeat(1e7), `sha256:${'a:'.repeat(5e6)}`])
    expect(parseDigest(text).ok).toBe(false);
  expect(performance.now() - started).toBeLessThan(1_000);
});

test('a digest is that of the bytes, however they were cut', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 });
  fc.assert(
    fc.property(pieces, fc.constantFrom('sha256' as const, 'sha512' as const), (pieces, algorithm) => {
      const digester = new Digester(algorithm);
      for (const piece of pieces) digester.update(piece);
      const whole = Buffer.concat(pieces);
      const digest = digester.digest();
      expect(digest).toBe(`${algorithm}:${createHash(algorithm).update(whole).digest('hex')}`);
      expect(digest).toBe(digestOf(whole, algorithm));
      expect(parseDigest(digest)).toEqual({ ok: true, value: digest });
    }),
  );
});
