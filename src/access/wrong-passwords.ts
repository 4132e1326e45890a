import { LRUCache } from 'lru-cache';
import type { Clock } from './clock.ts';
import { limits } from './limits.ts';

/**
 * Counts distinct wrong passwords per existing user and client. The same one again, as an engine presents it on every pull,
 * counts once.
 */
export class WrongPasswords {
  readonly #clock: Clock;
  /** When each was tried first, by its keyed hash. */
  readonly #tried = new LRUCache<string, Map<string, number>>({ max: limits.maxSlowedPairs });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts a try before its outcome is known, so that many at once are no way around. Gives the seconds to wait instead when
   * there were too many.
   */
  begin(pair: string, key: string): number | undefined {
    const now = this.#clock.now();
    const tried = this.#tried.get(pair) ?? new Map<string, number>();
    for (const [old, at] of tried) if (at <= now - limits.wrongPasswordWindowMs || at > now) tried.delete(old);
    const [oldest] = tried.values();
    if (!tried.has(key) && tried.size >= limits.maxWrongPasswords && oldest !== undefined) {
      return Math.max(1, Math.ceil((oldest + limits.wrongPasswordWindowMs - now) / 1000));
    }
    if (!tried.has(key)) tried.set(key, now);
    this.#tried.set(pair, tried);
    return undefined;
  }

  /** It was not wrong, or nobody knows. */
  takeBack(pair: string, key: string): void {
    const tried = this.#tried.get(pair);
    tried?.delete(key);
    if (tried?.size === 0) this.#tried.delete(pair);
  }
}
