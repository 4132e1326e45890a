import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePattern, parseTagPattern } from '../../src/oci/repository-pattern.ts';

function matches(pattern: string, name: string): boolean {
  const parsed = parsePattern(pattern);
  if (!parsed.ok) throw new Error(`${pattern}: ${parsed.failure.reason}`);
  return parsed.value.matches(name);
}

describe('a repository pattern', () => {
  test.each([
    ['test', 'test', true],
    ['test', 'tests', false],
    ['*', 'test', true],
    ['*', 'library/test', false],
    ['user*', 'user241', true],
    ['*/httpd', 'yidao620/httpd', true],
    ['a*c*e', 'abcde', true],
    ['a*c*e', 'abcd', false],
    ['local/**', 'local', false],
    ['local/**', 'local/x', true],
    ['local/**', 'local/x/y', true],
    ['local/**', 'localhost/x', false],
    ['**', 'x', true],
    ['**', 'x/y/z', true],
    ['**/app', 'app', true],
    ['**/app', 'a/b/app', true],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a/**/z', 'a/b/c/y', false],
    ['a/**/**', 'a/b', true],
    ['a.b', 'axb', false],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  test.each(['', '/', 'a/', '/a', 'a//b', 'a**', '**b/c', '***', 'Local/*', 'a b', 'a:b', 'a'.repeat(257)])(
    'refuses %j with a reason',
    (text) => {
      const parsed = parsePattern(text);
      expect(parsed.ok ? '' : parsed.failure.reason).toMatch(/\w/);
    },
  );

  test('agrees with the definition, written out naively', () => {
    const segment = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 4 });
    const pattern = fc
      .array(fc.oneof(segment, fc.constant('**')), { minLength: 1, maxLength: 5 })
      .map((segments) => segments.map((s) => (s === '**' ? s : s.replaceAll(/\*+/g, '*'))));
    const name = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(pattern, name, (pattern, name) => {
        expect(matches(pattern.join('/'), name.join('/'))).toBe(naiveSegments(pattern, name));
      }),
      { numRuns: 5_000 },
    );
  });

  test('a hostile pattern costs no more than its length times that of the name', () => {
    const within = '*a'.repeat(127);
    const across = [...Array.from({ length: 50 }, () => '**/a'), 'b'].join('/');
    const started = performance.now();
    expect(matches(within, `${'a'.repeat(20_000)}b`)).toBe(false);
    expect(matches(across, Array.from({ length: 20_000 }, () => 'a').join('/'))).toBe(false);
    // Backtracking would take longer than the universe has lasted.
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe('a tag pattern', () => {
  test.each([
    ['library/*', 'library/alpine', 'latest', true],
    ['library/*:latest', 'library/alpine', 'latest', true],
    ['library/*:latest', 'library/alpine', '3.20', false],
    ['**:*-SNAPSHOT', 'team/app', '1.0-SNAPSHOT', true],
    ['**:v1.*', 'team/app', 'v1.2', true],
    ['**:v1.*', 'team/app', 'v10', false],
  ])('%s and %s:%s: %s', (pattern, name, tag, expected) => {
    const parsed = parseTagPattern(pattern);
    expect(parsed.ok && parsed.value.matches(name, tag)).toBe(expected);
  });

  test.each(['a:', ':a', 'a:b:c', 'a:b/c', 'A:b'])('refuses %j', (text) => {
    expect(parseTagPattern(text).ok).toBe(false);
  });
});

function naiveSegments(pattern: readonly string[], name: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return name.length === 0;
  if (head !== '**') return name[0] !== undefined && naiveText(head, name[0]) && naiveSegments(rest, name.slice(1));
  if (rest.length === 0) return name.length > 0;
  return Array.from({ length: name.length + 1 }, (_, taken) => name.slice(taken)).some((left) =>
    naiveSegments(rest, left),
  );
}

function naiveText(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] !== '*') return pattern[0] === text[0] && naiveText(pattern.slice(1), text.slice(1));
  return Array.from({ length: text.length + 1 }, (_, taken) => text.slice(taken)).some((left) =>
    naiveText(pattern.slice(1), left),
  );
}
