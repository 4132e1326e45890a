import { setMaxListeners } from 'node:events';
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Access } from './access.ts';
import type { Asker } from './asker.ts';
import type { BlobBody } from './blob-body.ts';
import { explain } from './explain.ts';
import type { Failure } from './failure.ts';
import { Flight, type FlightDeps, type NoFlight } from './flight.ts';
import type { FlightEnd } from './flight-end.ts';
import { limits } from './limits.ts';
import type { Registries } from './registries.ts';
import type { Wanted } from './vouch.ts';

export interface Joined {
  readonly flight: Flight;
  readonly body: BlobBody;
  /** Somebody else had started the flight. */
  readonly collapsed: boolean;
}

interface Deps extends FlightDeps {
  readonly access: Access;
  readonly registries: Registries;
  readonly onEnd: (flight: Flight, end: FlightEnd) => void;
}

/** The flights under way, at most one per digest. */
export class Flights {
  readonly #deps: Deps;
  readonly #flights = new Map<Digest, Flight>();
  /** Passed through for a while without another try: there was no room for them, before or during their flight. */
  readonly #noRoom = new LRUCache<Digest, true>({ max: limits.maxNoRoom, ttl: limits.noRoomMs });
  readonly #stop = new AbortController();

  constructor(deps: Deps) {
    this.#deps = deps;
    // One for each flight and what it asks.
    setMaxListeners(0, this.#stop.signal);
  }

  get count(): number {
    return this.#flights.size;
  }

  /**
   * A reader of the one flight for this digest, which is started where there is none. The flight's origin proves access for
   * its own repository; another repository joins when the bytes are public, or its own upstream vouches for the digest.
   */
  async join(repository: Repository, digest: Digest, asker: Asker): Promise<Result<Joined, Failure | NoFlight>> {
    const wanted: Wanted = { kind: 'blob', digest };
    for (;;) {
      if (this.#noRoom.has(digest)) return fail({ kind: 'no-room' });
      const running = this.#flights.get(digest);
      const flight = running ?? this.#start(repository, digest);
      const isOwn = repositoryText(flight.repository) === repositoryText(repository);
      const opened = await asker.awaiting(flight.opened);
      if (!opened.ok) {
        const { failure } = opened;
        if (failure.kind === 'no-room') this.#noRoom.set(digest, true, { ttl: limits.noRoomNowMs });
        if (failure.kind === 'no-room' || failure.kind === 'stored-already') return fail(failure);
        if (isOwn || asker.isOutOfPatience) return fail(explain(failure, repository, wanted));
        // What another repository was told says nothing about ours.
        await flight.landed;
        continue;
      }
      if (!isOwn && opened.value.withCredentials) {
        const proved = await this.#deps.access.prove(repository, { digest, size: opened.value.size }, 'blob', asker);
        if (!proved.ok) return proved;
      }
      const body = flight.follow();
      if (body !== undefined) return ok({ flight, body, collapsed: running !== undefined });
      const end = await flight.landed;
      if (end.kind === 'no-room') return fail(end);
      return fail(end.kind === 'broken' ? explain(end.failure, repository, wanted) : { kind: 'stored-already' });
    }
  }

  #start(repository: Repository, digest: Digest): Flight {
    const { upstream } = this.#deps.registries.of(repository);
    const flight = new Flight({ digest, repository, upstream }, this.#deps, this.#stop.signal);
    this.#flights.set(digest, flight);
    // `landed` never rejects.
    void flight.landed.then((end) => {
      this.#flights.delete(digest);
      if (end.kind === 'no-room') this.#noRoom.set(digest, true);
      this.#deps.onEnd(flight, end);
    });
    return flight;
  }

  /** Breaks off every flight. What has arrived stays for the next start. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the service stops'));
    await Promise.all([...this.#flights.values()].map(({ landed }) => landed));
  }
}
