import { expect } from 'vitest';
import type { Answer } from './answer.ts';

/**
 * That so many bytes of the upload are there. An inclusive range cannot say "none": the Docker registry writes `0-0`
 * then, as it does for one byte, and others leave the header out.
 */
export function expectRange(answer: Answer, bytes: number): void {
  if (bytes === 0) expect(answer.maybe('range') ?? '0-0').toBe('0-0');
  else expect(answer.header('range')).toBe(`0-${bytes - 1}`);
}
