import { type BlobRecord, type BlobStore, countedBytes, type Ledger } from './ports.ts';

/**
 * Content that is gone, or not what its digest says, is forgotten and never served again: the next demand fetches it anew.
 * Unless that has happened already, since the record was read.
 */
export async function setAside(
  record: BlobRecord,
  { ledger, store }: { readonly ledger: Ledger; readonly store: BlobStore },
): Promise<void> {
  const { digest, storedAt } = record;
  if (await ledger.forget(digest, storedAt)) await store.quarantine(digest, countedBytes(record));
}
