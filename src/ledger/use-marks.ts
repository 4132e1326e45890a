import type { Digest } from '../oci/digest.ts';

const flushEveryMs = 1_000;
/** Written in one go by the timer, in some milliseconds; the others follow one by one. */
const marksAtOnce = 50;

/** Last-use marks, gathered and written once a second: a hit costs a map entry, not a transaction. */
export class UseMarks {
  readonly #write: (marks: ReadonlyMap<Digest, number>) => void;
  #marks = new Map<Digest, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (marks: ReadonlyMap<Digest, number>) => void) {
    this.#write = write;
  }

  mark(digest: Digest, at: number): void {
    this.#marks.set(digest, Math.max(at, this.#marks.get(digest) ?? at));
    this.#flushLater();
  }

  /** Throws what writing throws; the marks are kept then. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#marks.size === 0) return;
    this.#write(this.#marks);
    this.#marks = new Map();
  }

  #flushLater(waitMs = flushEveryMs): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      try {
        this.#flushSome();
        if (this.#marks.size > 0) this.#flushLater(0);
      } catch {
        // The disk is full, or somebody else is writing: no reason to end the process. The marks go with the next ones.
        this.#flushLater();
      }
    }, waitMs).unref();
  }

  #flushSome(): void {
    const some = new Map([...this.#marks].slice(0, marksAtOnce));
    this.#write(some);
    for (const [digest, at] of some) if (this.#marks.get(digest) === at) this.#marks.delete(digest);
  }
}
