/**
 * Bytes on disk and bytes promised, under one cap. Room is taken before a byte is written, so that
 * `taken <= limit` holds at every instant but two: after a start or a reload with a cap below what is there already.
 */
export class Budget {
  /** In bytes. Lowering it makes nothing go by itself. */
  limit: number;
  #taken = 0;
  #promised = 0;

  constructor(limitBytes: number) {
    this.limit = limitBytes;
  }

  get taken(): number {
    return this.#taken;
  }

  /** What of `taken` is not on disk yet. */
  get promised(): number {
    return this.#promised;
  }

  /** Promises the bytes; false, and nothing taken, when they do not fit. */
  reserve(bytes: number): boolean {
    if (bytes < 0) throw new RangeError(`cannot reserve ${bytes} bytes`);
    if (this.#taken + bytes > this.limit) return false;
    this.#taken += bytes;
    this.#promised += bytes;
    return true;
  }

  /** Promised bytes are on disk now. */
  written(bytes: number): void {
    if (bytes > this.#promised) throw new RangeError(`wrote ${bytes} of ${this.#promised} promised bytes`);
    this.#promised -= bytes;
  }

  /** Promised bytes will not come. */
  cancel(bytes: number): void {
    this.written(bytes);
    this.release(bytes);
  }

  /** For bytes that are there already. */
  count(bytes: number): void {
    this.#taken += bytes;
  }

  /** Bytes that were on disk are gone. */
  release(bytes: number): void {
    if (bytes < 0 || bytes > this.#taken - this.#promised) {
      throw new RangeError(`cannot release ${bytes} of ${this.#taken - this.#promised} bytes`);
    }
    this.#taken -= bytes;
  }
}
