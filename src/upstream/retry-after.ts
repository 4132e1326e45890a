const secondsPerUnit: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3_600,
};

/** RFC 9110, 10.2.3: seconds or a date. In seconds from now; undefined for anything else. */
export function retryAfterHeader(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d{1,15}\s*$/.test(value)) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : (date - now) / 1000;
}

/** Docker Hub also says it in words: `toomanyrequests: retry-after: 985.86µs, allowed: 44000/minute`, a Go duration. */
export function retryAfterText(text: string): number | undefined {
  const duration = /retry-after:?\s*((?:\d{1,9}(?:\.\d{1,9})?(?:ns|us|µs|μs|ms|s|m|h))+)/i.exec(text)?.[1];
  if (duration === undefined) return undefined;
  let seconds = 0;
  for (const [, amount, unit = ''] of duration.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/gi)) {
    seconds += Number(amount) * (secondsPerUnit[unit.toLowerCase().replace(/[µμ]/, 'u')] ?? 0);
  }
  return seconds;
}

/** Whole seconds, and at least one: what asks again at once asks too early. */
export function clampSeconds(seconds: number, max: number): number {
  return Math.min(Math.max(Math.ceil(seconds), 1), max);
}
