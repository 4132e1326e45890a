import { type BlobBody, BrokenBody } from './blob-body.ts';
import type { FlightEnd } from './flight-end.ts';
import { limits } from './limits.ts';
import type { Movement } from './movement.ts';
import type { BlobWriter } from './ports.ts';
import type { UpstreamBody } from './upstream-body.ts';

/** What a reader sees of its flight. */
interface Followed {
  readonly visible: number;
  readonly isWhole: boolean;
  readonly movement: Movement;
  readonly end: FlightEnd | undefined;
  onwards(): Promise<UpstreamBody>;
}

/** One reader of a flight: reads its file up to what is visible, and waits for more. */
export class FlightReader implements BlobBody {
  readonly size: number | undefined;
  readonly #flight: Followed;
  readonly #writer: BlobWriter;
  readonly #hold: AsyncDisposable;
  #onwards: Promise<UpstreamBody> | undefined;

  constructor(
    flight: Followed,
    writer: BlobWriter,
    { size, hold }: { size: number | undefined; hold: AsyncDisposable },
  ) {
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
      if (end?.kind === 'no-room') return this.#readOnwards(target, position);
      if (end !== undefined) throw new BrokenBody(end.kind === 'broken' ? end.failure.reason : end.kind);
      await moved;
    }
  }

  async #readOnwards(target: Uint8Array, position: number): Promise<number> {
    this.#onwards ??= this.#flight.onwards();
    const body = await this.#onwards;
    // A range that begins further on: what comes before it has to be hashed, too.
    while (body.position < position) {
      const skipped = new Uint8Array(Math.min(limits.skippedPieceBytes, position - body.position));
      if ((await body.read(skipped, body.position)) === 0) return 0;
    }
    return body.read(target, position);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hold[Symbol.asyncDispose]();
    const onwards = await this.#onwards?.catch(() => undefined);
    await onwards?.[Symbol.asyncDispose]();
  }
}
