import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';
import { type BlobWriter, type Clock, NoRoom, type Upstream, type UpstreamBlob } from './ports.ts';

/** Which blob, and where it is to be had. */
export interface Destination {
  readonly digest: Digest;
  readonly repository: Repository;
  readonly upstream: Upstream;
}

export interface FillDeps {
  readonly clock: Clock;
  /** Between 0 and 1, for the jitter of back-off. */
  readonly random: () => number;
}

/** Our own disk's trouble: asking the upstream again would not help. */
class Unwritable extends Error {}

class WrongLength extends Error {}

/** Brings the bytes that a writer lacks from the upstream, through broken connections. */
export class Fill {
  readonly #destination: Destination;
  readonly #deps: FillDeps;
  readonly #writer: BlobWriter;
  readonly #stop: AbortSignal;
  #size: number | undefined;

  constructor(destination: Destination, deps: FillDeps, { writer, stop }: { writer: BlobWriter; stop: AbortSignal }) {
    this.#destination = destination;
    this.#deps = deps;
    this.#writer = writer;
    this.#stop = stop;
  }

  /** Of the whole blob; undefined when neither manifest nor upstream said. Known after `takeOff`. */
  get size(): number | undefined {
    return this.#size;
  }

  /** Asks for what is missing, and reserves room for it before the first byte. `stated`: what a manifest says of the size. */
  async takeOff(
    stated: number | undefined,
  ): Promise<Result<UpstreamBlob, UpstreamFailure | { readonly kind: 'no-room' }>> {
    const writer = this.#writer;
    // Nothing is asked of the upstream for what will never fit, and nothing goes for what it may not even have.
    if (stated !== undefined && !writer.couldFit(stated)) return fail({ kind: 'no-room' });
    if (stated !== undefined && writer.kept > stated) await writer.restart();
    let answer = await this.#ask(writer.kept, stated);
    if (!answer.ok && answer.failure.kind === 'wrong-answer' && writer.kept > 0) {
      // A 416, most likely: what was kept is longer than the blob.
      await writer.restart();
      answer = await this.#ask(0, stated);
    }
    if (!answer.ok) return answer;
    const { size = stated } = answer.value;
    if (stated !== undefined && size !== stated) {
      const reason = `the upstream's blob has ${size} bytes, its manifest says ${stated}`;
      return this.#refuse(answer.value, { kind: 'wrong-answer', reason });
    }
    // Left of something longer, and the registry ignores Range: nothing of it may be shown.
    if (size !== undefined && writer.kept > size) await writer.restart();
    if (size !== undefined && !(await writer.reserve(size))) return this.#refuse(answer.value, { kind: 'no-room' });
    this.#size = size;
    return answer;
  }

  /** From `position`; from the last byte when all is there already, so that the answer still proves access and size. */
  #ask(position: number, size: number | undefined): Promise<Result<UpstreamBlob, UpstreamFailure>> {
    const { upstream, repository, digest } = this.#destination;
    const first = size === undefined || size === 0 ? position : Math.min(position, size - 1);
    const ask = { deadlineMs: limits.askDeadlineMs, signal: this.#stop };
    return upstream.getBlob(repository.name, digest, { first }, ask);
  }

  async #refuse<F>(answer: UpstreamBlob, failure: F): Promise<Result<never, F>> {
    await letGo(answer);
    return fail(failure);
  }

  /**
   * Writes from the first answer on until the blob is complete. A broken connection is taken up again where it broke, for as
   * long as there is progress. `onPiece` is told where the piece that was just written began.
   *
   * @throws {NoRoom}
   * @throws {Unwritable}
   */
  async complete(first: UpstreamBlob, onPiece: (start: number) => void): Promise<Result<void, UpstreamFailure>> {
    let answer: Result<UpstreamBlob, UpstreamFailure> = ok(first);
    let tries = 0;
    for (;;) {
      const before = this.#writer.written;
      const outcome: Result<void, UpstreamFailure> = answer.ok ? await this.#pump(answer.value, onPiece) : answer;
      if (outcome.ok || !isWorthAnotherTry(outcome.failure)) return outcome;
      if (this.#writer.written > before) tries = 0;
      const backoffMs = limits.resumeBackoffMs[tries++];
      if (backoffMs === undefined || this.#stop.aborted) return outcome;
      await this.#deps.clock.sleep(backoffMs * (0.5 + this.#deps.random() / 2), this.#stop);
      // The registry is asked anew: a redirect's address is good once.
      answer = await this.#ask(this.#writer.written, this.#size);
    }
  }

  async #pump(blob: UpstreamBlob, onPiece: (start: number) => void): Promise<Result<void, UpstreamFailure>> {
    const writer = this.#writer;
    if (blob.size !== undefined && this.#size !== undefined && blob.size !== this.#size) {
      const reason = `the blob had ${this.#size} bytes, now the upstream says ${blob.size}`;
      return this.#refuse(blob, { kind: 'wrong-answer', reason });
    }
    if (blob.start > writer.written) {
      const reason = `asked for bytes from ${writer.written} on, the upstream sent those from ${blob.start}`;
      return this.#refuse(blob, { kind: 'wrong-answer', reason });
    }
    let position = blob.start;
    try {
      for await (const piece of blob.body) {
        // A registry that ignores Range sends again what is written already.
        const fresh = piece.subarray(Math.max(0, Math.min(piece.length, writer.written - position)));
        position += piece.length;
        if (fresh.length > 0) await this.#append(fresh, onPiece);
      }
    } catch (error) {
      if (error instanceof Unwritable || error instanceof NoRoom) throw error;
      if (error instanceof WrongLength) return fail({ kind: 'wrong-answer', reason: error.message });
      return fail(brokenOff(messageOf(error)));
    }
    if (this.#size === undefined || writer.written === this.#size) return ok(undefined);
    return fail(brokenOff(`it ended after ${writer.written} of ${this.#size} bytes`));
  }

  async #append(piece: Uint8Array, onPiece: (start: number) => void): Promise<void> {
    const start = this.#writer.written;
    if (this.#size !== undefined && start + piece.length > this.#size) {
      throw new WrongLength(`the upstream sent more than the ${this.#size} bytes of the blob`);
    }
    try {
      await this.#writer.append(piece);
    } catch (error) {
      throw error instanceof NoRoom ? error : new Unwritable(messageOf(error), { cause: error });
    }
    onPiece(start);
  }
}

function isWorthAnotherTry({ kind }: UpstreamFailure): boolean {
  return kind === 'unavailable' || kind === 'rate-limited';
}

function brokenOff(how: string): UpstreamFailure {
  return { kind: 'unavailable', reason: `the transfer broke off: ${how}`, retryAfterSeconds: 1 };
}

/** Of an answer whose body nobody will read. */
export async function letGo({ body }: UpstreamBlob): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
