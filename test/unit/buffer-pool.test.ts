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
  expect(second === first).toBe(false);
  pool.give(first);
  expect(pool.take(2) === first).toBe(true);
  expect([first, second].includes(pool.take(2))).toBe(false);
});

test('buffers of one size do not stand in for those of another', () => {
  const pool = new BufferPool();
  pool.give(pool.take(2));
  pool.give(pool.take(1));
  expect(pool.take(0).length).toBe(64 * kibibyte);
  expect(pool.take(1).length).toBe(256 * kibibyte);
});

/** All the large buffers that the pool lets out at once. */
function takeAllLarge(pool: BufferPool): Buffer[] {
  const taken: Buffer[] = [];
  for (;;) {
    const buffer = pool.take(2);
    if (buffer.length < mebibyte) return taken;
    taken.push(buffer);
    expect(taken.length).toBeLessThanOrEqual(128);
  }
}

test('large buffers in use are bounded, and beyond the bound everybody gets small ones', () => {
  const pool = new BufferPool();
  const large = takeAllLarge(pool);
  expect(large.length).toBeGreaterThan(4);
  expect([pool.take(2).length, pool.take(1).length]).toEqual([64 * kibibyte, 64 * kibibyte]);
  pool.give(large.pop()!);
  expect([pool.take(2).length, pool.take(2).length]).toEqual([mebibyte, 64 * kibibyte]);
});

test('a buffer that is forgotten counts no longer, and is never handed out again', () => {
  const pool = new BufferPool();
  const large = takeAllLarge(pool);
  for (const buffer of large) pool.forget(buffer);
  const next = takeAllLarge(pool);
  expect(next).toHaveLength(large.length);
  expect(next.some((buffer) => large.includes(buffer))).toBe(false);
});

test('what lies idle is bounded: the rest is left to the collector', () => {
  const pool = new BufferPool();
  const large = takeAllLarge(pool);
  for (const buffer of large) pool.give(buffer);
  const again = takeAllLarge(pool);
  expect(again).toHaveLength(large.length);
  const kept = again.filter((buffer) => large.includes(buffer));
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(large.length);
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
