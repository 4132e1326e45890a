import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findJsonError } from '../../src/config/json-syntax.ts';

test.each([
  ['', 1, 1, 'expected a value, not the end of the file'],
  ['{', 1, 2, 'expected a key in double quotes or }, not the end of the file'],
  ['{\n  "a": 1,\n}', 3, 1, 'expected a key in double quotes, not }'],
  ['{\n  // port\n  "a": 1 }', 2, 3, 'expected a key in double quotes or }, not a comment (JSON has none)'],
  ['{ "a": [1 2] }', 1, 11, 'expected a comma or ], not 2'],
  ['{ "a": 1 "b": 2 }', 1, 10, 'expected a comma or }, not a text'],
  ['{ "a" 1 }', 1, 7, 'expected a colon, not 1'],
  ["{ 'a': 1 }", 1, 3, "expected a key in double quotes or }, not '"],
  ['{ "password": "hunter2\n" }', 1, 15, 'expected a value, not a text that is damaged or not closed'],
  ['[1]]', 1, 4, 'expected the end of the file, not ]'],
])('%j', (text, line, column, reason) => {
  expect(findJsonError(text)).toEqual({ line, column, reason });
});

test('finds nothing in JSON, however it is laid out', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2, '\t', '\r\n'), (value, space) => {
      expect(findJsonError(JSON.stringify(value, null, space))).toBeUndefined();
    }),
  );
});

test('agrees with JSON.parse on what is JSON', () => {
  const jsonLike = fc
    .array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ':',
        ',',
        '"a"',
        '"\\u00e9\\n"',
        '"',
        '\\',
        '-1.5e3',
        '01',
        'true',
        ' ',
        '\n',
      ),
      {
        maxLength: 8,
      },
    )
    .map((parts) => parts.join(''));
  const damaged = fc
    .tuple(fc.jsonValue(), fc.nat(), fc.constantFrom('', ',', '}', '"', 'x'))
    .map(([value, position, what]) => {
      const text = JSON.stringify(value);
      const at = position % (text.length + 1);
      return text.slice(0, at) + what + text.slice(at + 1);
    });
  fc.assert(
    fc.property(fc.oneof(jsonLike, damaged), (text) => {
      expect(findJsonError(text) === undefined).toBe(isJson(text));
    }),
    { numRuns: 5_000 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
