import type { Digest } from '../oci/digest.ts';

const flushEveryMs = 1_000;

/** Last-use marks, gathered and written once a second: a hit costs a map entry, not a transaction. */
export class UseMarks {
  readonly #write: (marks: ReadonlyMap<Digest, number>) => void;
  #marks = new Map<Digest, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (marks: ReadonlyMap<Digest, number>) => void) {
    this.#write = write;
  }

  mark(digest: Digest, at: number): void {
    this.#marks.set(digest, at);
    this.#timer ??= setTimeout(() => this.flush(), flushEveryMs).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#marks.size === 0) return;
    const marks = this.#marks;
    this.#marks = new Map();
    this.#write(marks);
  }
}
