import type { Digest, Digester } from '../oci/digest.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { type BlobBody, BrokenBody } from './blob-body.ts';
import type { UpstreamFailure } from './failure.ts';
import { type Destination, Fill, type FillDeps, letGo } from './fill.ts';
import type { FlightEnd } from './flight-end.ts';
import { FlightReader } from './flight-reader.ts';
import { limits } from './limits.ts';
import { Movement } from './movement.ts';
import { type BlobStore, type BlobWriter, type Ledger, NoRoom, type UpstreamBlob } from './ports.ts';
import { Rest } from './rest.ts';
import { unlessNoRoom } from './unless-no-room.ts';
import { UpstreamBody } from './upstream-body.ts';

/** What is known of a flight when the upstream's headers are here. */
interface Opened {
  readonly size: number | undefined;
  readonly withCredentials: boolean;
}

/** No trouble, but no flight either: the blob is to be had in another way. */
export type NoFlight = { readonly kind: 'no-room' } | { readonly kind: 'stored-already' };

type NotOpened = UpstreamFailure | NoFlight;

export interface FlightDeps extends FillDeps {
  readonly store: BlobStore;
  readonly ledger: Ledger;
}

/**
 * One download of one digest, with any number of readers. It belongs to no request: readers come and go, the flight goes
 * on until the blob is stored, the upstream gives up, or the service stops.
 *
 * Readers see the bytes below `visible`. The last piece stays above it until the hash has agreed, so that no reader ever
 * completes a blob that is wrong (promise 3).
 */
export class Flight {
  readonly digest: Digest;
  readonly repository: Repository;
  /** Resolves once: when the upstream's headers are here, or when it is clear that they will not come. */
  readonly opened: Promise<Result<Opened, NotOpened>>;
  /** Resolves when nothing more will happen. Never rejects. */
  readonly landed: Promise<FlightEnd>;
  /** Moves whenever there is more to see, and at the end. */
  readonly movement = new Movement();
  /** Ranges being answered beside this flight. */
  asideRanges = 0;

  readonly #destination: Destination;
  readonly #deps: FlightDeps;
  readonly #stop: AbortSignal;
  readonly #startedAt: number;
  #writer: BlobWriter | undefined;
  #digester: Digester | undefined;
  #size: number | undefined;
  #visible = 0;
  #isWhole = false;
  #end: FlightEnd | undefined;

  constructor(destination: Destination, deps: FlightDeps, stop: AbortSignal) {
    this.digest = destination.digest;
    this.repository = destination.repository;
    this.#destination = destination;
    this.#deps = deps;
    this.#stop = stop;
    this.#startedAt = deps.clock.now();
    let openedWith!: (outcome: Result<Opened, NotOpened>) => void;
    this.opened = new Promise((resolve) => {
      openedWith = resolve;
    });
    this.landed = this.#fly(openedWith).then((end) => {
      this.#end = end;
      this.movement.moved();
      // Nobody waits for headers any more, unless they never came.
      if (end.kind === 'broken') openedWith(fail(end.failure));
      if (end.kind === 'no-room') openedWith(fail(end));
      return end;
    });
  }

  /** The position up to which readers may read. */
  get visible(): number {
    return this.#visible;
  }

  /** True when the hash has agreed: every byte is visible. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Undefined while it is under way. */
  get end(): FlightEnd | undefined {
    return this.#end;
  }

  /** How long until this position is visible, in milliseconds, at the pace so far; Infinity before the first byte. */
  msUntil(position: number): number {
    const elapsedMs = this.#deps.clock.now() - this.#startedAt;
    return ((position - this.#visible) / this.#visible) * elapsedMs;
  }

  /** For after `opened` was ok. Undefined when the flight has let go of its file: it is about to land or to break. */
  follow(): BlobBody | undefined {
    const hold = this.#writer?.hold();
    return hold && this.#writer && new FlightReader(this, this.#writer, { size: this.#size, hold });
  }

  async #fly(openedWith: (outcome: Result<Opened, NotOpened>) => void): Promise<FlightEnd> {
    try {
      // Somebody else's flight may have landed between a reader's look at the ledger and this one's start.
      if ((await this.#deps.ledger.blob(this.digest)) !== undefined) {
        openedWith(fail({ kind: 'stored-already' }));
        return { kind: 'not-started' };
      }
      await using writer = await this.#deps.store.begin(this.digest);
      const fill = new Fill(this.#destination, this.#deps, { writer, stop: this.#stop });
      const first = await fill.takeOff(await this.#deps.ledger.statedSize(this.repository, this.digest));
      if (!first.ok) {
        openedWith(first);
        return { kind: 'not-started' };
      }
      const { withCredentials } = first.value;
      this.#writer = writer;
      this.#size = fill.size;
      openedWith(ok({ size: fill.size, withCredentials }));
      // Before a byte is stored: a crash between file and row must not cost the knowledge of who may have it.
      const proof = { digest: this.digest, isPublic: !withCredentials };
      await unlessNoRoom(this.#deps.ledger.link(this.repository, proof, this.#deps.clock.now()));
      await this.#replay(writer, first.value);
      try {
        const filled = await fill.complete(first.value, (start) => this.#show(writer.written, start));
        return filled.ok ? await this.#land(writer, withCredentials) : await this.#crash(writer, filled.failure);
      } catch (error) {
        if (error instanceof NoRoom) await this.#giveUpRoom(writer);
        throw error;
      }
    } catch (error) {
      if (error instanceof NoRoom) return { kind: 'no-room' };
      // Ours, not the upstream's: what exactly is for the log, not for clients.
      const reason = "this server's own storage fails; its log says why";
      return { kind: 'broken', failure: { kind: 'unavailable', reason, retryAfterSeconds: 1 }, cause: error };
    }
  }

  /** Hashes again what an earlier flight has left; the first readers read along. */
  async #replay(writer: BlobWriter, first: UpstreamBlob): Promise<void> {
    try {
      for (let start = 0; await writer.replay(); start = writer.written) {
        this.#show(writer.written, start);
        this.#stop.throwIfAborted();
      }
    } catch (error) {
      await letGo(first);
      throw error;
    }
  }

  /** What was written up to `position`, the last piece of it from `start` on. Of unknown size, any piece may be the last. */
  #show(position: number, start: number): void {
    const mayBeLast = this.#size === undefined || position === this.#size;
    const visible = mayBeLast ? start : position;
    if (visible <= this.#visible) return;
    this.#visible = visible;
    this.movement.moved();
  }

  async #land(writer: BlobWriter, withCredentials: boolean): Promise<FlightEnd> {
    const size = writer.written;
    if (!writer.verify()) {
      return this.#crash(writer, { kind: 'wrong-answer', reason: `the upstream's bytes do not match ${this.digest}` });
    }
    // The readers first: the disk's own pace is none of their business.
    this.#visible = size;
    this.#isWhole = true;
    this.movement.moved();
    const blob = { digest: this.digest, size, isPublic: !withCredentials, storedAt: this.#deps.clock.now() };
    await writer.commit(() => this.#deps.ledger.addBlob(blob, this.repository));
    return { kind: 'stored' };
  }

  /** What does not fit now is not worth keeping; its readers go on from here. There is more to come, so this is no last piece. */
  async #giveUpRoom(writer: BlobWriter): Promise<void> {
    if (!this.#isWhole) {
      this.#digester = writer.digester();
      this.#visible = writer.written;
    }
    await writer.discard();
  }

  /**
   * For a reader that has all that is visible, when there is no room for more: the rest, straight from the upstream.
   *
   * @throws {BrokenBody}
   */
  async onwards(): Promise<UpstreamBody> {
    const { upstream, repository, digest } = this.#destination;
    const first = this.#visible;
    const answer = await upstream.getBlob(repository.name, digest, { first }, { deadlineMs: limits.askDeadlineMs });
    if (!answer.ok) throw new BrokenBody(answer.failure.reason);
    const { start, size = this.#size } = answer.value;
    const isOther = this.#size !== undefined && size !== this.#size;
    if (start > first || isOther) {
      await letGo(answer.value);
      throw new BrokenBody(
        `the upstream's answer, ${size ?? 'some'} bytes from ${start} on, does not go on from ${first}`,
      );
    }
    const body = new Rest(answer.value.body, first - start);
    return new UpstreamBody({ ...answer.value, size, start: first, body }, digest, this.#digester?.fork());
  }

  /** Bytes of an upstream that contradicts itself are not worth keeping; those before a broken connection are. */
  async #crash(writer: BlobWriter, failure: UpstreamFailure): Promise<FlightEnd> {
    if (failure.kind === 'wrong-answer') await writer.discard();
    return { kind: 'broken', failure };
  }
}
