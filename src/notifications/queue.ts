// eslint-disable-next-line no-restricted-imports -- an event is written in the tick in which it happened, or kill -9 parts them
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Limits } from './limits.ts';
import { Position } from './position.ts';
import { Segment, type Waiting } from './segment.ts';

/** Why events will never be delivered. */
export type Loss = 'queue full' | 'too old' | 'damaged' | 'not written';

interface QueueOptions {
  readonly limits: Limits;
  readonly onLoss: (loss: Loss, events: number) => void;
  /** A file could not be written, moved or removed. Nothing is lost by it, but events may be sent again. */
  readonly onTrouble: (error: unknown) => void;
}

const segmentName = /^(\d{10})\.ndjson$/;

/**
 * The events that wait for one endpoint, oldest first, in a directory of its own:
 *
 *     0000000007.ndjson   events, one per line; the front
 *     0000000008.ndjson   later ones, in files of `segmentBytes`; the last is appended to
 *     position            segment and offset of the first event that is not done
 *
 * An event is in its file when `append` returns, so that it outlives this process; nothing is synced, so a power loss may cost
 * the newest. All that is done in one tick is bounded by a segment, and only the front's events are in memory.
 */
export class Queue {
  readonly #directory: string;
  readonly #options: QueueOptions;
  readonly #position: Position;
  /** Oldest first. Only the last can be unsealed. */
  readonly #segments: Segment[];
  #lastNumber: number;
  /** What waits in the first segment. Invariant: while it is empty there is no sealed segment. */
  #front: Waiting[] = [];
  #isClosed = false;

  private constructor(directory: string, segments: Segment[], position: Position, options: QueueOptions) {
    this.#directory = directory;
    this.#segments = segments;
    this.#position = position;
    this.#options = options;
    this.#lastNumber = Math.max(position.place.segment, segments.at(-1)?.number ?? 0);
    this.#load();
    this.#advance();
  }

  /** Takes up what an earlier process has left. Throws when the directory cannot be used. */
  static open(directory: string, options: QueueOptions): Queue {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const position = Position.open(join(directory, 'position'));
    const segments: Segment[] = [];
    for (const name of readdirSync(directory).sort()) {
      const path = join(directory, name);
      const number = Number(segmentName.exec(name)?.[1]);
      if (number >= position.place.segment) segments.push(Segment.found(path, number, statSync(path).size));
      // Done with, or the rewriting of a segment that was broken off.
      else if (!Number.isNaN(number) || name.endsWith('.new')) rmSync(path, { force: true });
    }
    return new Queue(directory, segments, position, options);
  }

  get isEmpty(): boolean {
    return this.#front.length === 0;
  }

  /** Of all its files. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Never throws. A full queue takes no pull. For anything else it makes room: waiting pulls go first, then the oldest
   * segment. One segment is looked at each time, so that a call costs no more than that: while it yields nothing, the queue
   * grows by an event.
   */
  append(event: Omit<Waiting, 'start'>): void {
    if (this.#isClosed) return;
    const { text, isPull } = event;
    const bytes = Buffer.byteLength(text) + 1;
    if (this.bytes + bytes > this.#options.limits.maxQueueBytes) {
      if (isPull) return this.#options.onLoss('queue full', 1);
      this.#attempt(() => this.#makeRoom());
    }
    try {
      const segment = this.#segmentFor(bytes);
      segment.mayHavePulls ||= isPull;
      const start = segment.append(text);
      if (segment === this.#segments[0]) this.#front.push({ ...event, start });
    } catch (error) {
      // The line is torn: the next one goes to a new file.
      this.#seal();
      this.#options.onTrouble(error);
      this.#options.onLoss('not written', 1);
    }
  }

  /** The next to be sent, at the most `maxEventsPerRequest`. None although not empty: what was too old has just been dropped. */
  take(now: number): readonly Waiting[] {
    const { maxAgeMs, maxEventsPerRequest, maxRequestBytes } = this.#options.limits;
    const young = this.#front.findIndex(({ at }) => now - at <= maxAgeMs);
    const old = young === -1 ? this.#front.length : young;
    if (old > 0) {
      this.#options.onLoss('too old', old);
      this.#leave(this.#front.slice(old));
      return [];
    }
    let bytes = 0;
    const full = this.#front.findIndex(({ text }, index) => {
      bytes += Buffer.byteLength(text) + 1;
      return index >= maxEventsPerRequest || (index > 0 && bytes > maxRequestBytes);
    });
    return this.#front.slice(0, full === -1 ? undefined : full);
  }

  /** They have been delivered. */
  done(batch: readonly Waiting[]): void {
    if (this.#isClosed) return;
    const texts = new Set(batch.map(({ text }) => text));
    const next = this.#front.findIndex(({ text }) => !texts.has(text));
    this.#leave(next === -1 ? [] : this.#front.slice(next));
  }

  /** The files stay as they are. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#segments.at(-1)?.seal();
    this.#position.close();
  }

  /** Everything before `rest` is done with. */
  #leave(rest: Waiting[]): void {
    this.#front = rest;
    const [first] = this.#segments;
    if (first === undefined) return;
    this.#attempt(() => this.#position.move({ segment: first.number, offset: rest[0]?.start ?? first.bytes }));
    this.#advance();
  }

  /** Goes on to the next segment that has something. */
  #advance(): void {
    while (this.#front.length === 0 && this.#segments[0]?.isSealed === true) {
      const done = this.#segments.shift();
      this.#attempt(() => done?.remove());
      this.#load();
    }
  }

  #load(): void {
    const [first] = this.#segments;
    const { segment, offset } = this.#position.place;
    if (first === undefined) return;
    this.#attempt(() => {
      this.#front = this.#read(first, segment === first.number ? offset : 0);
    });
  }

  #read(segment: Segment, offset: number): Waiting[] {
    const { waiting, damaged } = segment.read(offset);
    if (damaged > 0) this.#options.onLoss('damaged', damaged);
    return waiting;
  }

  #segmentFor(bytes: number): Segment {
    const last = this.#segments.at(-1);
    if (last?.isSealed === false) {
      if (last.bytes + bytes <= this.#options.limits.segmentBytes) return last;
      this.#seal();
    }
    const number = this.#lastNumber + 1;
    const segment = Segment.create(join(this.#directory, `${String(number).padStart(10, '0')}.ndjson`), number);
    this.#lastNumber = number;
    this.#segments.push(segment);
    return segment;
  }

  #seal(): void {
    this.#attempt(() => this.#segments.at(-1)?.seal());
    this.#advance();
  }

  #makeRoom(): void {
    const withPulls = this.#segments.find(({ isSealed, mayHavePulls }) => isSealed && mayHavePulls);
    if (withPulls !== undefined) return this.#dropPulls(withPulls);
    const [first] = this.#segments;
    if (first?.isSealed !== true) return;
    this.#options.onLoss('queue full', this.#front.length);
    this.#leave([]);
  }

  #dropPulls(segment: Segment): void {
    const isFront = segment === this.#segments[0];
    const waiting = isFront ? this.#front : this.#read(segment, 0);
    const others = waiting.filter(({ isPull }) => !isPull);
    segment.mayHavePulls = false;
    if (others.length === waiting.length) return;
    // First the position: were the process killed in between, events would be sent again, but none left out.
    if (isFront) this.#position.move({ segment: segment.number, offset: 0 });
    const moved = segment.rewrite(others);
    this.#options.onLoss('queue full', waiting.length - others.length);
    if (isFront) this.#leave(moved);
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onTrouble(error);
    }
  }
}
