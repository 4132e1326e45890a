// eslint-disable-next-line no-restricted-imports -- 27 bytes, written in the tick in which the queue moves on
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';

export interface Place {
  /** Number of the segment. */
  readonly segment: number;
  /** In bytes. */
  readonly offset: number;
}

/** How far the queue is done with. Always of the same length, so that it is overwritten in one write. */
export class Position {
  readonly #fd: number;
  #place: Place;

  private constructor(fd: number, place: Place) {
    this.#fd = fd;
    this.#place = place;
  }

  /** A damaged one is the beginning: events are sent twice rather than never. Throws when the file cannot be opened. */
  static open(path: string): Position {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const [, segment, offset] = /^(\d{10}) (\d{15})\n$/.exec(readFileSync(path, 'latin1')) ?? [];
    return new Position(fd, { segment: Number(segment ?? 0), offset: Number(offset ?? 0) });
  }

  get place(): Place {
    return this.#place;
  }

  /** Throws when it cannot be written: after a restart, events are sent again then. */
  move(place: Place): void {
    if (place.segment === this.#place.segment && place.offset === this.#place.offset) return;
    this.#place = place;
    writeSync(this.#fd, `${String(place.segment).padStart(10, '0')} ${String(place.offset).padStart(15, '0')}\n`, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
