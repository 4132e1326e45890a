/** Sizes of the buffers that carry blob bytes from the store to the socket. */
const sizes = [64 * 1024, 256 * 1024, 1024 * 1024] as const;

/** Bytes in large buffers at once; beyond it everybody gets small ones. */
const maxLargeBytes = 16 * 1024 * 1024;
/** Bytes kept for reuse while nobody uses them. */
const maxIdleBytes = 8 * 1024 * 1024;

export type Step = 0 | 1 | 2;

/** Buffers that are used again instead of being allocated for every piece. */
export class BufferPool {
  readonly #idle: Buffer[][] = sizes.map(() => []);
  #idleBytes = 0;
  #largeBytes = 0;

  /** Of the size for this step, or the smallest when too many large ones are out. To be given back. */
  take(step: Step): Buffer {
    const wanted = sizes[step];
    const size = step > 0 && this.#largeBytes + wanted > maxLargeBytes ? sizes[0] : wanted;
    if (size > sizes[0]) this.#largeBytes += size;
    const idle = this.#idle[sizes.indexOf(size)]?.pop();
    if (idle === undefined) return Buffer.allocUnsafeSlow(size);
    this.#idleBytes -= size;
    return idle;
  }

  give(buffer: Buffer): void {
    this.forget(buffer);
    if (this.#idleBytes + buffer.length > maxIdleBytes) return;
    this.#idleBytes += buffer.length;
    this.#idle[sizes.findIndex((size) => size === buffer.length)]?.push(buffer);
  }

  /** For a buffer that somebody may still write into: it is left to the collector. */
  forget(buffer: Buffer): void {
    if (buffer.length > sizes[0]) this.#largeBytes -= buffer.length;
  }
}
