import { type BlobBody, BrokenBody } from './blob-body.ts';
import type { BlobReader } from './ports.ts';

/** A blob from the store. One whose file has become shorter since it was opened is noticed here: the response is cut. */
export class StoredBody implements BlobBody {
  readonly size: number;
  readonly #reader: BlobReader;
  readonly #onDamage: () => Promise<void>;

  constructor(reader: BlobReader, onDamage: () => Promise<void>) {
    this.size = reader.size;
    this.#reader = reader;
    this.#onDamage = onDamage;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const count = await this.#reader.read(target, position);
    if (count > 0 || position >= this.size) return count;
    await this.#onDamage();
    throw new BrokenBody(`the stored file ends at ${position} instead of ${this.size}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}
