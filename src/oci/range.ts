/** A `Range` header's single range as asked: `first-last`, `first-` or `-suffix` (RFC 9110, 14.1.2). */
export type RangeRequest =
  | { readonly kind: 'from'; readonly first: number; readonly last?: number }
  | { readonly kind: 'suffix'; readonly length: number };

/** Bytes `first` to `last`, both included, of a body of known size. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

const single = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i;
const maxHeaderLength = 200;

/**
 * Undefined where there is nothing to honour: no header, another unit, or several ranges, which RFC 9110 14.2 lets a
 * server answer with the whole body (no registry client sends them). `invalid` is a bytes range that makes no sense.
 */
export function parseRange(header: string | undefined): RangeRequest | 'invalid' | undefined {
  if (header === undefined || !/^bytes=/i.test(header)) return undefined;
  if (header.length > maxHeaderLength) return 'invalid';
  if (header.includes(',')) return undefined;
  const match = single.exec(header);
  if (match === null) return 'invalid';
  const [, first = '', last = ''] = match;
  if (first === '') return last === '' ? 'invalid' : { kind: 'suffix', length: clamp(last) };
  if (last === '') return { kind: 'from', first: clamp(first) };
  if (clamp(last) < clamp(first)) return 'invalid';
  return { kind: 'from', first: clamp(first), last: clamp(last) };
}

/** A number with more digits than a double holds is as good as the largest one: no blob reaches that far. */
function clamp(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** The range within a body of `size` bytes; undefined where no byte of it is asked for (416). */
export function resolveRange(range: RangeRequest, size: number): ByteRange | undefined {
  if (range.kind === 'suffix') {
    if (range.length === 0 || size === 0) return undefined;
    return { first: Math.max(0, size - range.length), last: size - 1 };
  }
  if (range.first >= size) return undefined;
  return { first: range.first, last: Math.min(range.last ?? size - 1, size - 1) };
}
