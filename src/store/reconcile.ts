import type { BlobRecord, BlobStore, Ledger, Page } from '../mirror/ports.ts';
import type { Budget } from './budget.ts';

export interface Reconciliation {
  readonly store: BlobStore;
  readonly ledger: Pick<Ledger, 'blob' | 'addBlob' | 'forget'>;
  /** The ledger's rows in the order of their digests. */
  readonly rows: (page: Page) => Promise<readonly BlobRecord[]>;
  readonly budget: Budget;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface Reconciled {
  /** Files without a row: kept, and served only where an upstream vouches for them. */
  readonly adopted: number;
  /** Rows without a file, or with one of another size. */
  readonly forgotten: number;
}

const rowsAtOnce = 500;

/**
 * Makes ledger and store agree after a stop that was not clean. A path under `blobs/` has verified content, so a file that
 * the ledger missed is as good as ever; only who may have it is not known any more, which is why it is not public.
 * Runs beside the service: meanwhile a row without its file is a miss like any other.
 */
export async function reconcile({ store, ledger, rows, budget, now, signal }: Reconciliation): Promise<Reconciled> {
  const startedAt = now();
  let adopted = 0;
  let forgotten = 0;
  for await (const record of allRows(rows)) {
    if (signal.aborted) break;
    if ((await sizeInStore(store, record)) === record.size) continue;
    if (!(await ledger.forget(record.digest))) continue;
    await store.delete(record.digest, record.size);
    forgotten++;
  }
  for await (const { digest, size, storedAt } of store.list()) {
    if (signal.aborted) break;
    // What a flight has stored since is on its way into the ledger, and counted.
    if (storedAt >= startedAt || (await ledger.blob(digest)) !== undefined) continue;
    budget.count(size);
    await ledger.addBlob({ digest, size, isPublic: false, storedAt: now() }, undefined);
    adopted++;
  }
  return { adopted, forgotten };
}

async function* allRows(read: Reconciliation['rows']): AsyncIterable<BlobRecord> {
  let after: string | undefined;
  for (;;) {
    const rows = await read({ limit: rowsAtOnce, ...(after === undefined ? {} : { after }) });
    yield* rows;
    after = rows.at(-1)?.digest;
    if (after === undefined) return;
  }
}

async function sizeInStore(store: BlobStore, { digest }: BlobRecord): Promise<number | undefined> {
  await using reader = await store.open(digest);
  return reader?.size;
}
