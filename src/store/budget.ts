/**
 * Bytes on disk and bytes promised, under one cap. Room is taken before a byte is written, so that
 * `taken <= limit` holds at every instant but one: content found on disk at start may exceed a cap that was lowered.
 */
export class Budget {
  readonly limit: number;
  #taken = 0;

  constructor(limitBytes: number) {
    this.limit = limitBytes;
  }

  get taken(): number {
    return this.#taken;
  }

  /** False, and nothing taken, when the bytes do not fit. */
  reserve(bytes: number): boolean {
    if (bytes < 0) throw new RangeError(`cannot reserve ${bytes} bytes`);
    if (this.#taken + bytes > this.limit) return false;
    this.#taken += bytes;
    return true;
  }

  /** For bytes that are there already. */
  count(bytes: number): void {
    this.#taken += bytes;
  }

  release(bytes: number): void {
    if (bytes < 0 || bytes > this.#taken) throw new RangeError(`cannot release ${bytes} of ${this.#taken} bytes`);
    this.#taken -= bytes;
  }
}
