/** Sizes and durations as people write them. */
import { fail, ok, type Result } from '../oci/result.ts';

const bytesPerUnit = {
  TiB: 1024 ** 4,
  TB: 1000 ** 4,
  GiB: 1024 ** 3,
  GB: 1000 ** 3,
  MiB: 1024 ** 2,
  MB: 1000 ** 2,
  KiB: 1024,
  kB: 1000,
  KB: 1000,
  B: 1,
} as const;

const msPerUnit = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;

export const sizeSyntax = /^\d+ ?(?:[KMGT]iB|[kKMGT]?B)?$/;
export const durationSyntax = /^\d+ ?(?:ms|s|m|h|d)$/;

interface BadAmount {
  readonly reason: string;
}

/** Gives bytes. */
export function parseSize(text: string): Result<number, BadAmount> {
  if (!sizeSyntax.test(text))
    return fail({ reason: `the units are ${Object.keys(bytesPerUnit).reverse().join(', ')}` });
  return multiply(text, { ...bytesPerUnit, '': 1 });
}

/** Gives milliseconds. */
export function parseDuration(text: string): Result<number, BadAmount> {
  if (!durationSyntax.test(text))
    return fail({ reason: `the units are ${Object.keys(msPerUnit).reverse().join(', ')}` });
  return multiply(text, msPerUnit);
}

/** In the largest unit that divides it, so that reading it again gives the same number. */
export function formatSize(bytes: number): string {
  return inLargestUnit(bytes, bytesPerUnit, 'B');
}

export function formatDuration(milliseconds: number): string {
  return inLargestUnit(milliseconds, msPerUnit, 's');
}

function multiply(text: string, units: Readonly<Record<string, number>>): Result<number, BadAmount> {
  const digits = /^\d+/.exec(text)?.[0] ?? '';
  const product = Number(digits) * (units[text.slice(digits.length).trim()] ?? Number.NaN);
  return Number.isSafeInteger(product) ? ok(product) : fail({ reason: 'that is more than can be counted exactly' });
}

function inLargestUnit(amount: number, units: Readonly<Record<string, number>>, unitOfZero: string): string {
  if (amount === 0) return `0${unitOfZero}`;
  const [unit, factor] = Object.entries(units).find(([, factor]) => amount % factor === 0) ?? [unitOfZero, 1];
  return `${amount / factor}${unit}`;
}
