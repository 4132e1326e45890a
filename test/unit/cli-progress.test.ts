import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { progressPrinter } from '../../src/cli/progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function stream(isTTY: boolean) {
  const stderr = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY, columns: 80 });
  return { stderr, said: () => (stderr.read() as string | null) ?? '' };
}

test('without a terminal a line is printed now and then, none for what is quick', () => {
  const { stderr, said } = stream(false);
  const printer = progressPrinter({ stderr }, 'verify');
  for (let second = 0; second <= 11; second++) {
    printer.update({ done: second * 1024, total: 20 * 1024, unit: 'bytes' });
    vi.advanceTimersByTime(1_000);
  }
  printer.end();
  expect(said()).toBe('verify: 25 %, 5.0 KiB of 20.0 KiB\nverify: 50 %, 10.0 KiB of 20.0 KiB\n');
});

test('on a terminal a bar follows the progress, and is gone at the end', () => {
  const { stderr, said } = stream(true);
  const printer = progressPrinter({ stderr }, 'recovery');
  printer.update({ done: 7, total: 0, unit: 'blobs' });
  expect(said()).toContain('recovery: 7 blobs');
  printer.update({ done: 1_500, total: 2_000, unit: 'blobs' });
  vi.advanceTimersByTime(200);
  expect(said()).toMatch(/recovery \[={22,23}-{7,8}\] 75 %, 1,500 blobs of 2,000 blobs/);
  printer.end();
  expect(said()).toMatch(/\x1B\[1G\x1B\[2K$/);
  expect(vi.getTimerCount()).toBe(0);
});

test('an end without a beginning prints nothing', () => {
  const { stderr, said } = stream(true);
  progressPrinter({ stderr }, 'gc').end();
  expect(said()).toBe('');
  expect(vi.getTimerCount()).toBe(0);
});
