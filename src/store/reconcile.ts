import { type BlobRecord, type BlobStore, countedBytes, type Ledger } from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { DiskBlobStore } from './disk-blob-store.ts';

export interface Reconciliation {
  readonly store: DiskBlobStore;
  readonly ledger: Ledger;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface Reconciled {
  /** Files without a row: kept. */
  readonly adopted: number;
  /** Rows without a file, or with one of another size. */
  readonly forgotten: number;
  /** Of these, what was hosted: it was confirmed, and is gone. */
  readonly lostHosted: readonly Digest[];
}

const rowsAtOnce = 500;

/**
 * Makes ledger and store agree after a stop that was not clean. A path under `blobs/` has verified content, so a file that
 * the ledger missed is as good as ever; who may have it follows from the upstream's answer, recorded before it was stored.
 * Runs beside the service: meanwhile a row without its file is a miss like any other.
 */
export async function reconcile({ store, ledger, now, signal }: Reconciliation): Promise<Reconciled> {
  let adopted = 0;
  let forgotten = 0;
  const lostHosted: Digest[] = [];
  for await (const record of allBlobs(ledger)) {
    if (signal.aborted) break;
    if ((await sizeInStore(store, record)) === record.size) continue;
    if (!(await ledger.forget(record.digest, record))) continue;
    await store.delete(record.digest, countedBytes(record));
    forgotten++;
    if (record.isHosted) lostHosted.push(record.digest);
  }
  for await (const { digest } of store.list()) {
    if (signal.aborted) break;
    if ((await ledger.blob(digest)) !== undefined) continue;
    const isAdopted = await store.adopt(digest, async (size) => {
      // It may be on its way into the ledger, or have come there since.
      if ((await ledger.blob(digest)) !== undefined) return undefined;
      return ledger.adoptBlob({ digest, size, storedAt: now() });
    });
    if (isAdopted) adopted++;
  }
  if (!signal.aborted) store.reconciled();
  return { adopted, forgotten, lostHosted };
}

/** In the order of their digests. */
export async function* allBlobs(ledger: Pick<Ledger, 'blobs'>): AsyncIterable<BlobRecord> {
  let after: string | undefined;
  for (;;) {
    const rows = await ledger.blobs({ limit: rowsAtOnce, ...(after === undefined ? {} : { after }) });
    yield* rows;
    after = rows.at(-1)?.digest;
    if (after === undefined) return;
  }
}

async function sizeInStore(store: BlobStore, { digest }: BlobRecord): Promise<number | undefined> {
  await using reader = await store.open(digest);
  return reader?.size;
}
