import { type BlobRecord, type BlobStore, countedBytes, type Ledger } from './ports.ts';

/**
 * Content that is gone, or not what its digest says, is forgotten and never served again: the next demand fetches it anew.
 * Unless that has happened already, since the record was read.
 */
export async function setAside(
  record: BlobRecord,
  { ledger, store }: { readonly ledger: Ledger; readonly store: BlobStore },
): Promise<void> {
  const { digest, storedAt, isHosted } = record;
  if (await ledger.forget(digest, record)) return store.quarantine(digest, countedBytes(record));
  const now = await ledger.blob(digest);
  // It was mounted, or taken back, which looks at no bytes: it is as damaged as it was, but counted otherwise.
  if (now?.storedAt === storedAt && now.isHosted !== isHosted) await setAside(now, { ledger, store });
}
