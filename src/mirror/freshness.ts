/** A check that lies in the future was made by a machine with a wrong clock, and counts as none. */
export function isFresh(checkedAt: number, ttlMs: number, now: number): boolean {
  return checkedAt <= now && now - checkedAt < ttlMs;
}
