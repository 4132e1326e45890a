import type { Digest } from '../oci/digest.ts';
import type { ByteRange, RangeRequest } from '../oci/range.ts';
import type { RepositoryName } from '../oci/repository-name.ts';
import type { BlobBody } from './blob-body.ts';
import type { Flight } from './flight.ts';
import { limits } from './limits.ts';
import type { Clock, Upstream } from './ports.ts';
import { UpstreamBody } from './upstream-body.ts';

interface Aside {
  readonly flight: Flight;
  readonly followed: BlobBody;
  readonly range: ByteRange;
  readonly clock: Clock;
  readonly upstream: Upstream;
  readonly name: RepositoryName;
  readonly digest: Digest;
}

/**
 * Only a bounded and small range may leave the flight: lazy-pulling snapshotters send them, far ahead of it. One that
 * reaches the blob's last byte stays, because that byte is held back until the hash agreed.
 */
export function mayGoAside(asked: RangeRequest, { first, last }: ByteRange, size: number): boolean {
  return (
    asked.kind === 'from' && asked.last !== undefined && last < size - 1 && last - first < limits.maxAsideRangeBytes
  );
}

/**
 * A small range of a blob that is still arriving. It waits for the flight a named time, then asks the upstream for just
 * these bytes, uncached. Where that does not work either, it goes on waiting for the flight.
 */
export class AsideRange implements BlobBody {
  readonly size: number | undefined;
  readonly #aside: Aside;
  #direct: UpstreamBody | undefined;
  #tried = false;
  readonly #left = new AbortController();

  constructor(aside: Aside) {
    this.#aside = aside;
    this.size = aside.followed.size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    if (!this.#tried && !(await this.#isNear())) await this.#goAside(position);
    return (this.#direct ?? this.#aside.followed).read(target, position);
  }

  /** True as soon as the flight has passed the range, or ended; false when it is too slow to wait for. */
  async #isNear(): Promise<boolean> {
    const { flight, range } = this.#aside;
    while (!hasLeft(this.#left)) {
      if (await this.#passesSoon()) break;
      if (flight.msUntil(range.last) > limits.asideWorthwhileMs) return false;
    }
    this.#tried = true;
    return true;
  }

  async #passesSoon(): Promise<boolean> {
    const { flight, range, clock } = this.#aside;
    const passed = new AbortController();
    const outOfPatience = clock
      .sleep(limits.asidePatienceMs, AbortSignal.any([passed.signal, this.#left.signal]))
      .then((): 'out of patience' => 'out of patience');
    for (;;) {
      const moved = flight.movement.next;
      if (flight.visible > range.last || flight.end !== undefined) break;
      if ((await Promise.race([moved, outOfPatience])) === 'out of patience') return false;
    }
    passed.abort();
    return true;
  }

  async #goAside(position: number): Promise<void> {
    this.#tried = true;
    const { flight, upstream, name, digest, range } = this.#aside;
    if (flight.asideRanges >= limits.maxAsideRangesPerFlight || hasLeft(this.#left)) return;
    flight.asideRanges++;
    const ask = { deadlineMs: limits.askDeadlineMs, signal: this.#left.signal };
    const answer = await upstream.getBlob(name, digest, { first: position, last: range.last }, ask);
    const direct = answer.ok ? new UpstreamBody(answer.value) : undefined;
    if (answer.ok && answer.value.start === position && !hasLeft(this.#left)) {
      this.#direct = direct;
      return;
    }
    flight.asideRanges--;
    await direct?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left.abort(new Error('the reader has left'));
    if (this.#direct !== undefined) {
      this.#aside.flight.asideRanges--;
      await this.#direct[Symbol.asyncDispose]();
    }
    await this.#aside.followed[Symbol.asyncDispose]();
  }
}

/** Asked again after a wait, whatever was true before it. */
function hasLeft({ signal }: AbortController): boolean {
  return signal.aborted;
}
