import { expect, test } from 'vitest';
import { parseContentRange, unsatisfiedSize } from '../../src/upstream/content-range.ts';
import { clampSeconds, retryAfterHeader, retryAfterText } from '../../src/upstream/retry-after.ts';

const now = Date.parse('2026-01-01T00:00:00Z');

test.each([
  ['120', 120],
  ['0', 0],
  ['Thu, 01 Jan 2026 00:01:30 GMT', 90],
  ['Wed, 31 Dec 2025 23:59:00 GMT', -60],
  ['soon', undefined],
  ['', undefined],
  [undefined, undefined],
])('Retry-After %j is %j seconds', (header, seconds) => {
  expect(retryAfterHeader(header, now)).toBe(seconds);
});

test.each([
  ['toomanyrequests: retry-after: 985.86µs, allowed: 44000/minute', 985.86e-6],
  ['Retry-After: 1m30s', 90],
  ['retry-after 2.5s', 2.5],
  ['retry-after: later', undefined],
])('the text %j says %j seconds', (text, seconds) => {
  const parsed = retryAfterText(text);
  if (seconds === undefined) expect(parsed).toBeUndefined();
  else expect(parsed).toBeCloseTo(seconds, 9);
});

test('a wait is at least a second and at most its bound', () => {
  expect([0, -60, 0.001, 1.2, 1e15].map((seconds) => clampSeconds(seconds, 21_600))).toEqual([1, 1, 1, 2, 21_600]);
});

test.each([
  ['bytes 0-9/100', { first: 0, last: 9, size: 100 }],
  ['bytes 90-99/100', { first: 90, last: 99, size: 100 }],
  ['bytes 5-9/*', { first: 5, last: 9, size: undefined }],
  ['bytes 9-5/100', undefined],
  ['bytes 90-100/100', undefined],
  ['bytes */100', undefined],
  ['items 0-9/100', undefined],
  ['bytes 0-9/100, bytes 20-29/100', undefined],
  [undefined, undefined],
])('Content-Range %j is %j', (header, expected) => {
  expect(parseContentRange(header)).toEqual(expected);
});

test('a 416 says how large the whole is', () => {
  expect(unsatisfiedSize('bytes */0')).toBe(0);
  expect(unsatisfiedSize('bytes 0-0/0')).toBeUndefined();
});
