import { algorithmOf, type Digest, Digester } from '../oci/digest.ts';
import { type BlobBody, BrokenBody } from './blob-body.ts';
import type { UpstreamBlob } from './ports.ts';

/**
 * Bytes relayed from an upstream to one reader, in order, without being stored. A whole blob is hashed on the way, and its
 * last piece held back until the hash agreed; a range cannot be judged by its digest.
 */
export class UpstreamBody implements BlobBody {
  readonly size: number | undefined;
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #digest: Digest | undefined;
  readonly #digester: Digester | undefined;
  /** Arrived and judged, not yet read. */
  #ready: Uint8Array = new Uint8Array(0);
  /** Arrived, and given out once there is a next piece or the hash has agreed. */
  #heldBack: Uint8Array | undefined;
  #position: number;
  #arrived: number;
  #ended = false;

  /** With a digest, `blob` must reach to the end, and begin at 0 or where `digester` has got to. */
  constructor(blob: UpstreamBlob, digest?: Digest, digester = digest && new Digester(algorithmOf(digest))) {
    this.size = blob.size;
    this.#pieces = blob.body[Symbol.asyncIterator]();
    this.#digest = digest;
    this.#digester = digester;
    this.#position = blob.start;
    this.#arrived = blob.start;
  }

  get position(): number {
    return this.#position;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    if (position !== this.#position)
      throw new Error(`a relayed body is read in order: at ${this.#position}, not ${position}`);
    while (this.#ready.length === 0) {
      if (this.#ended) return 0;
      await this.#advance();
    }
    const count = Math.min(target.length, this.#ready.length);
    target.set(this.#ready.subarray(0, count));
    this.#ready = this.#ready.subarray(count);
    this.#position += count;
    return count;
  }

  async #advance(): Promise<void> {
    const next = await this.#pieces.next();
    if (next.done !== true) {
      if (this.#digester === undefined) {
        this.#ready = next.value;
        return;
      }
      this.#arrived += next.value.length;
      // Who was told the size reads no further: what lies before would be the whole, and never be judged.
      if (this.size !== undefined && this.#arrived > this.size) {
        throw new BrokenBody(`the upstream sent more than the ${this.size} bytes of the blob`);
      }
      this.#digester.update(next.value);
      this.#ready = this.#heldBack ?? this.#ready;
      this.#heldBack = next.value;
      return;
    }
    this.#ended = true;
    if (this.#digester !== undefined && this.#digester.digest() !== this.#digest) {
      throw new BrokenBody(`the upstream's bytes do not match ${this.#digest ?? ''}`);
    }
    this.#ready = this.#heldBack ?? this.#ready;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#pieces.return?.();
  }
}
