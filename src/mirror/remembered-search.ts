import { LRUCache } from 'lru-cache';
import { isFresh } from './freshness.ts';
import { limits } from './limits.ts';
import type { Clock, Upstream, UpstreamHit } from './ports.ts';
import { SingleFlight } from './single-flight.ts';

interface Remembered {
  readonly hits: readonly UpstreamHit[];
  readonly at: number;
}

interface Pause {
  readonly since: number;
  readonly milliseconds: number;
}

/** An upstream's own search: asked once for all who ask the same, and left alone for a while when it gives nothing. */
export class RememberedSearch {
  readonly #ask: NonNullable<Upstream['search']>;
  readonly #clock: Clock;
  readonly #known = new LRUCache<string, Remembered>({ max: limits.maxSearches });
  readonly #flights = new SingleFlight<readonly UpstreamHit[]>();
  #underWay = 0;
  #pause: Pause | undefined;

  constructor(ask: NonNullable<Upstream['search']>, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** Nothing where it cannot be asked. */
  hits(query: string): Promise<readonly UpstreamHit[]> {
    const known = this.#known.get(query);
    if (known !== undefined && this.#isWithin(known.at, limits.searchTtlMs)) return Promise.resolve(known.hits);
    return this.#flights.run(query, () => this.#askNow(query)).result;
  }

  async #askNow(query: string): Promise<readonly UpstreamHit[]> {
    if (this.#isPaused() || this.#underWay >= limits.maxSearchesUnderWay) return [];
    this.#underWay++;
    try {
      const answer = await this.#ask(query);
      const at = this.#clock.now();
      if (answer.ok) {
        this.#known.set(query, { hits: answer.value, at });
        return answer.value;
      }
      const { failure } = answer;
      const asked = 'retryAfterSeconds' in failure ? failure.retryAfterSeconds * 1000 : 0;
      this.#pause = { since: at, milliseconds: Math.max(asked, limits.searchPauseMs) };
      return [];
    } finally {
      this.#underWay--;
    }
  }

  #isPaused(): boolean {
    return this.#pause !== undefined && this.#isWithin(this.#pause.since, this.#pause.milliseconds);
  }

  #isWithin(since: number, milliseconds: number): boolean {
    return isFresh(since, milliseconds, this.#clock.now());
  }
}
