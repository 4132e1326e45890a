import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { BlobBody } from './blob-body.ts';
import type { UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';
import { Movement } from './movement.ts';
import {
  type BlobStore,
  type BlobWriter,
  type Clock,
  type Ledger,
  NoRoom,
  type Upstream,
  type UpstreamBlob,
} from './ports.ts';

/** What is known of a flight when the upstream's headers are here. */
export interface Opened {
  readonly size: number | undefined;
  readonly withCredentials: boolean;
}

/** Why a flight did not come about. */
export type NotOpened = UpstreamFailure | { readonly kind: 'no-room' } | { readonly kind: 'stored-already' };

export interface FlightDeps {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Between 0 and 1, for the jitter of back-off. */
  readonly random: () => number;
}

export interface Destination {
  readonly digest: Digest;
  readonly repository: Repository;
  readonly upstream: Upstream;
}

/** Bytes that will never come, or that were not what they should be. */
export class BrokenFlight extends Error {
  override readonly name = 'BrokenFlight';
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

  readonly #deps: FlightDeps;
  readonly #upstream: Upstream;
  readonly #stop: AbortSignal;
  readonly #movement = new Movement();
  readonly #startedAt: number;
  #writer: BlobWriter | undefined;
  #size: number | undefined;
  #visible = 0;
  #isPublic = false;
  #isWhole = false;
  #end: FlightEnd | undefined;
  /** Ranges being answered beside this flight. */
  asideRanges = 0;

  constructor({ digest, repository, upstream }: Destination, deps: FlightDeps, stop: AbortSignal) {
    this.digest = digest;
    this.repository = repository;
    this.#deps = deps;
    this.#upstream = upstream;
    this.#stop = stop;
    this.#startedAt = deps.clock.now();
    let openedWith!: (outcome: Result<Opened, NotOpened>) => void;
    this.opened = new Promise((resolve) => {
      openedWith = resolve;
    });
    this.landed = this.#run(openedWith).then((end) => {
      this.#end = end;
      this.#movement.moved();
      // Nobody waits for headers any more, unless they never came.
      if (end.kind === 'broken') openedWith(fail(end.failure));
      return end;
    });
  }

  get visible(): number {
    return this.#visible;
  }

  /** How long until this position is visible, in milliseconds, at the pace so far; Infinity before the first byte. */
  msUntil(position: number): number {
    const elapsedMs = this.#deps.clock.now() - this.#startedAt;
    return ((position - this.#visible) / this.#visible) * elapsedMs;
  }

  get movement(): Movement {
    return this.#movement;
  }

  /** Undefined while it is under way. */
  get end(): FlightEnd | undefined {
    return this.#end;
  }

  /** True when the hash has agreed: every byte is visible. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** For after `opened` was ok. Undefined when the flight has let go of its file: it is about to land or to break. */
  follow(): BlobBody | undefined {
    const hold = this.#writer?.hold();
    return hold && this.#writer && new FlightReader(this, this.#writer, { size: this.#size, hold });
  }

  async #run(openedWith: (outcome: Result<Opened, NotOpened>) => void): Promise<FlightEnd> {
    try {
      // Somebody else's flight may have landed between a reader's look at the ledger and this one's start.
      if ((await this.#deps.ledger.blob(this.digest)) !== undefined) {
        openedWith(fail({ kind: 'stored-already' }));
        return { kind: 'not-started' };
      }
      await using writer = await this.#deps.store.begin(this.digest);
      const first = await this.#takeOff(writer);
      if (!first.ok) {
        openedWith(first);
        return { kind: 'not-started' };
      }
      openedWith(ok({ size: this.#size, withCredentials: first.value.withCredentials }));
      await this.#replay(writer, first.value);
      const failure = await this.#fill(writer, first.value);
      return failure === undefined ? await this.#land(writer) : { kind: 'broken', failure };
    } catch (error) {
      return {
        kind: 'broken',
        failure: { kind: 'unavailable', reason: messageOf(error), retryAfterSeconds: 1 },
        cause: error,
      };
    }
  }

  /** Asks for what is missing, and reserves room for it before the first byte. */
  async #takeOff(writer: BlobWriter): Promise<Result<UpstreamBlob, NotOpened>> {
    const stated = await this.#deps.ledger.statedSize(this.repository, this.digest);
    if (stated !== undefined && writer.kept > stated) await writer.restart();
    let answer = await this.#ask(writer.kept, stated);
    if (!answer.ok && answer.failure.kind === 'wrong-answer' && writer.kept > 0) {
      // A 416, most likely: what was kept is longer than the blob.
      await writer.restart();
      answer = await this.#ask(0, stated);
    }
    if (!answer.ok) return answer;
    const { size = stated, withCredentials } = answer.value;
    if (stated !== undefined && size !== stated) {
      await closeBody(answer.value);
      return fail({
        kind: 'wrong-answer',
        reason: `the upstream's blob has ${size} bytes, its manifest says ${stated}`,
      });
    }
    // Left of something longer, and the registry ignores Range: nothing of it may be shown.
    if (size !== undefined && writer.kept > size) await writer.restart();
    if (size !== undefined && !writer.reserve(size)) {
      await closeBody(answer.value);
      return fail({ kind: 'no-room' });
    }
    this.#writer = writer;
    this.#size = size;
    this.#isPublic = !withCredentials;
    return answer;
  }

  /** From `position`; from the last byte when all is there already, so that the answer still proves access and size. */
  #ask(position: number, size: number | undefined): Promise<Result<UpstreamBlob, UpstreamFailure>> {
    const first = size === undefined || size === 0 ? position : Math.min(position, size - 1);
    return this.#upstream.getBlob(
      this.repository.name,
      this.digest,
      { first },
      { deadlineMs: limits.askDeadlineMs, signal: this.#stop },
    );
  }

  async #replay(writer: BlobWriter, answer: UpstreamBlob): Promise<void> {
    try {
      while (await writer.replay()) this.#show(writer.written);
    } catch (error) {
      await closeBody(answer);
      throw error;
    }
  }

  /** Undefined when everything is written. A broken connection is taken up again where it broke. */
  async #fill(writer: BlobWriter, first: UpstreamBlob): Promise<UpstreamFailure | undefined> {
    let blob: UpstreamBlob | undefined = first;
    let failure: UpstreamFailure = {
      kind: 'unavailable',
      reason: 'the upstream broke off the transfer',
      retryAfterSeconds: 1,
    };
    let tries = 0;
    for (;;) {
      const before = writer.written;
      if (blob !== undefined) {
        const outcome = await this.#pump(writer, blob);
        if (outcome === 'complete') return undefined;
        failure = outcome;
        if (failure.kind === 'wrong-answer') return failure;
      }
      if (writer.written > before) tries = 0;
      const backoffMs = limits.resumeBackoffMs[tries++];
      if (backoffMs === undefined || this.#stop.aborted) return failure;
      await this.#deps.clock.sleep(backoffMs * (0.5 + this.#deps.random() / 2), this.#stop);
      // The registry is asked anew: a redirect's address is good once.
      const again = await this.#ask(writer.written, this.#size);
      blob = again.ok ? again.value : undefined;
      if (!again.ok) failure = again.failure;
      if (failure.kind !== 'unavailable' && failure.kind !== 'rate-limited') return failure;
    }
  }

  async #pump(writer: BlobWriter, blob: UpstreamBlob): Promise<'complete' | UpstreamFailure> {
    if (blob.size !== undefined && this.#size !== undefined && blob.size !== this.#size) {
      await closeBody(blob);
      return { kind: 'wrong-answer', reason: `the blob had ${this.#size} bytes, now the upstream says ${blob.size}` };
    }
    if (blob.start > writer.written) {
      await closeBody(blob);
      return {
        kind: 'wrong-answer',
        reason: `asked for bytes from ${writer.written} on, the upstream sent those from ${blob.start}`,
      };
    }
    let position = blob.start;
    try {
      for await (const piece of blob.body) {
        // A registry that ignores Range sends again what is written already.
        const fresh = piece.subarray(Math.max(0, Math.min(piece.length, writer.written - position)));
        position += piece.length;
        if (fresh.length > 0) await this.#append(writer, fresh);
      }
    } catch (error) {
      if (error instanceof Unwritable) throw error;
      if (error instanceof WrongLength) return { kind: 'wrong-answer', reason: error.message };
      return { kind: 'unavailable', reason: `the transfer broke off: ${messageOf(error)}`, retryAfterSeconds: 1 };
    }
    if (this.#size === undefined || writer.written === this.#size) return 'complete';
    return {
      kind: 'unavailable',
      reason: `the transfer ended after ${writer.written} of ${this.#size} bytes`,
      retryAfterSeconds: 1,
    };
  }

  async #append(writer: BlobWriter, piece: Uint8Array): Promise<void> {
    if (this.#size !== undefined && writer.written + piece.length > this.#size) {
      throw new WrongLength(`the upstream sent more than the ${this.#size} bytes of the blob`);
    }
    const before = writer.written;
    try {
      await writer.append(piece);
    } catch (error) {
      if (error instanceof NoRoom) await writer.discard();
      throw new Unwritable(messageOf(error), { cause: error });
    }
    // Of a blob of unknown size any piece may be the last one.
    this.#show(this.#size === undefined || writer.written === this.#size ? before : writer.written);
  }

  #show(position: number): void {
    if (position === this.#size || position <= this.#visible) return;
    this.#visible = position;
    this.#movement.moved();
  }

  async #land(writer: BlobWriter): Promise<FlightEnd> {
    const { written } = writer;
    if (!writer.verify()) {
      await writer.discard();
      return {
        kind: 'broken',
        failure: { kind: 'wrong-answer', reason: `the upstream's bytes do not match ${this.digest}` },
      };
    }
    // The readers first: the disk's own pace is none of their business.
    this.#size = written;
    this.#visible = written;
    this.#isWhole = true;
    this.#movement.moved();
    await writer.commit();
    const blob = { digest: this.digest, size: written, isPublic: this.#isPublic, storedAt: this.#deps.clock.now() };
    await this.#deps.ledger.addBlob(blob, this.repository);
    return { kind: 'stored' };
  }
}

export type FlightEnd =
  | { readonly kind: 'stored' }
  | { readonly kind: 'not-started' }
  | { readonly kind: 'broken'; readonly failure: UpstreamFailure; readonly cause?: unknown };

class WrongLength extends Error {}

/** Our own disk's trouble: asking the upstream again would not help. */
class Unwritable extends Error {}

class FlightReader implements BlobBody {
  readonly size: number | undefined;
  readonly #flight: Flight;
  readonly #writer: BlobWriter;
  readonly #hold: AsyncDisposable;

  constructor(flight: Flight, writer: BlobWriter, { size, hold }: { size: number | undefined; hold: AsyncDisposable }) {
    this.size = size;
    this.#flight = flight;
    this.#writer = writer;
    this.#hold = hold;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    for (;;) {
      const moved = this.#flight.movement.next;
      const available = this.#flight.visible - position;
      if (available > 0) return this.#writer.read(target.subarray(0, Math.min(target.length, available)), position);
      if (this.#flight.isWhole) return 0;
      const { end } = this.#flight;
      if (end !== undefined) throw new BrokenFlight(end.kind === 'broken' ? end.failure.reason : end.kind);
      await moved;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hold[Symbol.asyncDispose]();
  }
}

/** Lets go of an answer that is not wanted. */
export async function closeBody({ body }: UpstreamBlob): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
