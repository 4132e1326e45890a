/** How things look to people. */

const sizeUnits = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

const msPerUnit = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
] as const;

/** What of a digest tells images apart well enough; Docker shows as much. */
const shortHexLength = 12;

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** Columns as wide as their widest cell; the last one ends where its text ends. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

/** Rounded, unlike the configuration's `formatSize`: `12.3 GiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let amount = bytes / 1024;
  let unit = 0;
  // What rounds to 1024.0 is one of the next unit.
  while (amount >= 1023.95 && unit < sizeUnits.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${amount.toFixed(1)} ${sizeUnits[unit] ?? ''}`;
}

/** `1,234 blobs`. */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * `3h`, of the time from `from` to `to`; `under 1m` for less.
 *
 * @param from ISO 8601
 * @param to milliseconds since 1970
 */
export function ageText(from: string, to: number): string {
  const age = to - Date.parse(from);
  const [unit, ms] = msPerUnit.find(([, ms]) => age >= ms) ?? [];
  return unit === undefined ? 'under 1m' : `${Math.floor(age / ms)}${unit}`;
}

export function shortDigest(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + shortHexLength);
}
