/** The bytes of a blob as they come to be readable: from the store, from a flight, or straight from an upstream. */
export interface BlobBody extends AsyncDisposable {
  /** Of the whole blob; undefined when the upstream did not say. */
  readonly size: number | undefined;
  /**
   * Fills `target` with bytes at `position`, waiting until there are some; gives their number, 0 at the end. Rejects when
   * the bytes will never be there, or are not what the digest says: the response must then be cut, not ended.
   */
  read(target: Uint8Array, position: number): Promise<number>;
}

/** Bytes that will never come, or that were not what they should be. */
export class BrokenBody extends Error {
  override readonly name = 'BrokenBody';
}
