// eslint-disable-next-line no-restricted-imports -- one file of 256 KiB; a change of the queue is over within its tick, or readers and writers meet in the middle
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { parseRecord } from './record.ts';

/** A line that waits: an event as it is sent. */
export interface Waiting {
  readonly text: string;
  readonly isPull: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Where the line begins in its file. */
  readonly start: number;
}

const newLine = 0x0a;

/** A file of events, one per line. It only grows, until it is sealed; sealed it may lose lines, all at once. */
export class Segment {
  readonly path: string;
  readonly number: number;
  #bytes: number;
  #fd: number | undefined;
  /** False is certain. */
  mayHavePulls: boolean;

  private constructor(
    path: string,
    number: number,
    found: { readonly bytes: number; readonly fd: number | undefined },
  ) {
    this.path = path;
    this.number = number;
    this.#bytes = found.bytes;
    this.#fd = found.fd;
    this.mayHavePulls = found.fd === undefined;
  }

  /** Throws when it cannot be made. */
  static create(path: string, number: number): Segment {
    return new Segment(path, number, { bytes: 0, fd: openSync(path, 'ax', 0o600) });
  }

  /** What an earlier process has left is never appended to: its last line may be torn. */
  static found(path: string, number: number, bytes: number): Segment {
    return new Segment(path, number, { bytes, fd: undefined });
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isSealed(): boolean {
    return this.#fd === undefined;
  }

  /** Gives where the line begins. Throws when not all of it could be written; what was written of it is a torn line then. */
  append(line: string): number {
    if (this.#fd === undefined) throw new Error('appended to a sealed segment');
    const start = this.#bytes;
    let rest = Buffer.from(`${line}\n`);
    while (rest.length > 0) {
      const written = writeSync(this.#fd, rest);
      this.#bytes += written;
      rest = rest.subarray(written);
    }
    return start;
  }

  seal(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** From `offset` on. Damage costs the line that it is in. Throws when the file cannot be read. */
  read(offset: number): { readonly waiting: Waiting[]; readonly damaged: number } {
    const bytes = readFileSync(this.path);
    const waiting: Waiting[] = [];
    let damaged = 0;
    for (let start = offset; start < bytes.length; ) {
      const found = bytes.indexOf(newLine, start);
      const end = found === -1 ? bytes.length : found;
      const text = bytes.toString('utf8', start, end);
      const record = parseRecord(text);
      if (record !== undefined) waiting.push({ text, ...record, start });
      else if (text !== '') damaged++;
      start = end + 1;
    }
    return { waiting, damaged };
  }

  /** Leaves only these lines; gives them with their new places. Throws when that cannot be written: then nothing has changed. */
  rewrite(lines: readonly Waiting[]): Waiting[] {
    const next = `${this.path}.new`;
    try {
      writeFileSync(next, lines.map(({ text }) => `${text}\n`).join(''), { mode: 0o600 });
      renameSync(next, this.path);
    } catch (error) {
      rmSync(next, { force: true });
      throw error;
    }
    let start = 0;
    const moved = lines.map((line) => {
      const here = { ...line, start };
      start += Buffer.byteLength(line.text) + 1;
      return here;
    });
    this.#bytes = start;
    return moved;
  }

  /** Throws when the file cannot be removed. */
  remove(): void {
    this.seal();
    rmSync(this.path, { force: true });
  }
}
