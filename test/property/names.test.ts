import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseReference } from '../../src/oci/reference.ts';
import { parseRepositoryName } from '../../src/oci/repository-name.ts';

/** distribution-spec, "Pulling manifests", to the letter. */
const nameInSpec = /^(?:[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*)$/;
const tagInSpec = /^(?:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})$/;

const nearlyAName = fc.string({
  unit: fc.constantFrom(...Array.from('ab0._-/'), '..', '__', '___', '--', 'A', '%2F', 'ä'),
  maxLength: 30,
});
const nearlyATag = fc.string({ unit: fc.constantFrom(...Array.from('aZ0._-'), '/', ' ', 'é', '\n'), maxLength: 140 });

/** What no pattern may take long for: each is nearly right for as long as it can be. */
const hostile = [
  'a'.repeat(10_000),
  `${'a'.repeat(10_000)}!`,
  'a/'.repeat(5_000),
  'a-'.repeat(5_000),
  `a${'-'.repeat(10_000)}`,
  `a${'_'.repeat(10_000)}b`,
  '-'.repeat(10_000),
  '../'.repeat(3_333),
  '%2F'.repeat(3_333),
  `${'a'.repeat(254)}!`,
  `${'a-'.repeat(127)}!`,
  `${'a__'.repeat(84)}!`,
  `a${'-'.repeat(253)}!`,
  `${'a.'.repeat(127)}!`,
  `${'0'.repeat(127)}/${'0'.repeat(126)}!`,
  'ä'.repeat(10_000),
  '\u0000'.repeat(10_000),
  'a'.repeat(10_000_000),
];

describe('a repository name', () => {
  test('is what the specification says, within 255 characters', () => {
    fc.assert(
      fc.property(nearlyAName, (text) => {
        const parsed = parseRepositoryName(text);
        expect(parsed.ok).toBe(nameInSpec.test(text));
        if (parsed.ok) expect(parsed.value).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });

  test('has nothing in it that a path, a URL, a header or a log could mistake', () => {
    fc.assert(
      fc.property(fc.oneof(nearlyAName, fc.string({ unit: 'binary' })), (text) => {
        if (!parseRepositoryName(text).ok) return;
        expect(text).toMatch(/^[a-z0-9._/-]+$/);
        expect(text.split('/')).not.toContain('..');
        expect(text.split('/')).not.toContain('');
        expect(encodeURI(text)).toBe(text);
        expect(new URL(`http://host/v2/${text}/manifests/x`).pathname).toBe(`/v2/${text}/manifests/x`);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ...[
      '',
      '/',
      '.',
      '..',
      '../etc/passwd',
      'a/../b',
      'a/./b',
      'a//b',
      '/a',
      'a/',
      'A',
      'aA',
      'a..b',
      'a.',
      '.a',
      '-a',
    ],
    ...[
      'a-',
      '_a',
      'a_',
      'a___b',
      'a.-b',
      'a b',
      'a\n',
      '\na',
      'a\u0000',
      'a%2Fb',
      'a%2fb',
      'a:b',
      'a@b',
      'a\\b',
      'a?b',
    ],
    ...['a#b', 'ä', 'а', 'a\u0301', '\u212a', '1\u0661', 'ｂ', 'a\u200bb'],
  ])('is not %j', (text) => {
    expect(parseRepositoryName(text).ok).toBe(false);
  });

  test.each([
    'a',
    '0',
    'library/alpine',
    'a/b/c/d/e',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'ghcr.io/x',
    'a'.repeat(255),
  ])('is %s', (text) => {
    expect(parseRepositoryName(text)).toEqual({ ok: true, value: text });
  });

  test('of 256 characters is too long', () => {
    expect(parseRepositoryName('a'.repeat(256)).ok).toBe(false);
  });

  test('is judged at once, however hostile', () => {
    const started = performance.now();
    for (const text of hostile) {
      const parsed = parseRepositoryName(text);
      expect(parsed.ok).toBe(false);
      expect(parsed.ok ? '' : parsed.failure.reason).toMatch(/^.{10,300}$/);
    }
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe('a reference', () => {
  test('is a tag where the specification says so', () => {
    fc.assert(
      fc.property(nearlyATag, (text) => {
        const parsed = parseReference(text);
        expect(parsed.ok).toBe(tagInSpec.test(text) && !text.includes('\n'));
        if (parsed.ok) expect(parsed.value).toEqual({ kind: 'tag', tag: text });
      }),
      { numRuns: 5_000 },
    );
  });

  test('with a colon is a digest or nothing, and the refusal says which was meant', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const parsed = parseReference(`${before}:${after}`);
        if (parsed.ok) expect(parsed.value.kind).toBe('digest');
        else expect(parsed.failure.what).toBe('digest');
      }),
    );
    const digest = `sha256:${'0'.repeat(64)}`;
    expect(parseReference(digest)).toEqual({ ok: true, value: { kind: 'digest', digest } });
  });

  test.each(['', '.', '..', '.a', '-a', 'a/b', 'a b', 'a\n', 'a\u0000', '%61', 'ä', 'a'.repeat(129), 'a@b', 'latest/'])(
    'is no tag: %j',
    (text) => {
      expect(parseReference(text)).toMatchObject({ ok: false, failure: { what: 'tag' } });
    },
  );

  test('is judged at once, however hostile', () => {
    const started = performance.now();
    for (const text of hostile.flatMap((text) => [text, `${text}:`, `:${text}`, `sha256:${text}`]))
      if (text.length > 128) expect(parseReference(text).ok).toBe(false);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});
