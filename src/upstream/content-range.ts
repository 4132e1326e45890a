export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Of the whole; undefined for `*`. */
  readonly size: number | undefined;
}

/** RFC 9110, 14.4. Undefined for what is no range of bytes, or contradicts itself. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const size = match[3] === '*' ? undefined : Number(match[3]);
  if (last < first || (size !== undefined && last >= size)) return undefined;
  return { first, last, size };
}

/** What a 416 says of the whole: `bytes * /0`, without the blank. */
export function unsatisfiedSize(header: string | undefined): number | undefined {
  const match = /^bytes\s+\*\/(\d{1,15})$/i.exec(header?.trim() ?? '');
  return match === null ? undefined : Number(match[1]);
}
