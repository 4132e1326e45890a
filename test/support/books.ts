import type { TakenBack } from '../../src/hosted/ports.ts';
import type { BlobRecord, Recording } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';

type Row = Pick<BlobRecord, 'size' | 'isHosted'>;

/** The least of a ledger that a store needs beside it: which blobs are recorded, how large, and on which side. */
export class Books {
  readonly #rows = new Map<Digest, Row>();

  readonly lookUp = (digest: Digest): Promise<Row | undefined> => Promise.resolve(this.#rows.get(digest));

  /** As the pull path records: what is hosted stays so. */
  cached(digest: Digest, size: number): Recording {
    return () => this.#write(digest, { size, isHosted: this.#rows.get(digest)?.isHosted ?? false });
  }

  hosted(digest: Digest, size: number): Recording {
    return () => this.#write(digest, { size, isHosted: true });
  }

  /** Takes back what is hosted; of anything else it says that it stays as it is, as the ledger does. */
  unhost(digest: Digest, wish: 'gone' | 'cached' | 'hosted', hasRoom: boolean): Promise<TakenBack> {
    const row = this.#rows.get(digest);
    if (row?.isHosted !== true) return Promise.resolve('hosted');
    if (wish === 'cached' && !hasRoom) return Promise.resolve('needs room');
    if (wish === 'gone') this.#rows.delete(digest);
    if (wish === 'cached') this.#rows.set(digest, { ...row, isHosted: false });
    return Promise.resolve(wish);
  }

  #write(digest: Digest, row: Row): Promise<Row> {
    this.#rows.set(digest, row);
    return Promise.resolve(row);
  }

  /** The bytes that it was counted with; 0 when it was not recorded. */
  forget(digest: Digest): number {
    const counted = this.#countedAs(this.#rows.get(digest));
    this.#rows.delete(digest);
    return counted;
  }

  /** What the cap has to count of all that is recorded. */
  get counted(): number {
    return [...this.#rows.values()].reduce((sum, row) => sum + this.#countedAs(row), 0);
  }

  get hostedBytes(): number {
    return [...this.#rows.values()].reduce((sum, { size, isHosted }) => sum + (isHosted ? size : 0), 0);
  }

  #countedAs(row: Row | undefined): number {
    return row === undefined || row.isHosted ? 0 : row.size;
  }
}
