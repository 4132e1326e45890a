import { expect, test } from 'vitest';
import { BufferPool, type Step } from '../../src/http/buffer-pool.ts';

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

test('a buffer has the size of its step', () => {
  const pool = new BufferPool();
  const steps: Step[] = [0, 1, 2];
  expect(steps.map((step) => pool.take(step).length)).toEqual([64 * kibibyte, 256 * kibibyte, mebibyte]);
});

test('a buffer given back is used again, and never by two at once', () => {
  const pool = new BufferPool();
  const first = pool.take(2);
  const second = pool.take(2);
  expect(second).not.toBe(first);
  pool.give(first);
  expect(pool.take(2)).toBe(first);
  expect(pool.take(2)).not.toBe(first);
});

test('buffers of one size do not stand in for those of another', () => {
  const pool = new BufferPool();
  pool.give(pool.take(2));
  pool.give(pool.take(1));
  expect(pool.take(0).length).toBe(64 * kibibyte);
  expect(pool.take(1).length).toBe(256 * kibibyte);
});

test('large buffers in use are bounded, and beyond the bound everybody gets small ones', () => {
  const pool = new BufferPool();
  const large = Array.from({ length: 64 }, () => pool.take(2));
  expect(large.every(({ length }) => length === mebibyte)).toBe(true);
  expect([pool.take(2).length, pool.take(1).length]).toEqual([64 * kibibyte, 64 * kibibyte]);
  pool.give(large.pop()!);
  expect(pool.take(2).length).toBe(mebibyte);
});

test('a buffer that is forgotten counts no longer, and is never handed out again', () => {
  const pool = new BufferPool();
  const large = Array.from({ length: 64 }, () => pool.take(2));
  for (const buffer of large) pool.forget(buffer);
  const next = Array.from({ length: 64 }, () => pool.take(2));
  expect(next.every(({ length }) => length === mebibyte)).toBe(true);
  expect(next.some((buffer) => large.includes(buffer))).toBe(false);
});

test('what lies idle is bounded: the rest is left to the collector', () => {
  const pool = new BufferPool();
  const large = Array.from({ length: 40 }, () => pool.take(2));
  for (const buffer of large) pool.give(buffer);
  const again = Array.from({ length: 40 }, () => pool.take(2));
  expect(again.filter((buffer) => large.includes(buffer))).toHaveLength(16);
});

test('small and large take turns for days without the bound creeping up', () => {
  const pool = new BufferPool();
  for (let turn = 0; turn < 10_000; turn++) {
    const buffers = ([2, 1, 0, 2, 2] as const).map((step) => pool.take(step));
    expect(buffers.map(({ length }) => length)).toEqual([mebibyte, 256 * kibibyte, 64 * kibibyte, mebibyte, mebibyte]);
    for (const [index, buffer] of buffers.entries()) {
      if (index === 3) pool.forget(buffer);
      else pool.give(buffer);
    }
  }
});
