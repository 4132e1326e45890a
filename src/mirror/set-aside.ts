import type { BlobRecord, BlobStore, Ledger } from './ports.ts';

/**
 * Content that is gone, or not what its digest says, is forgotten and never served again: the next demand fetches it anew.
 * Unless that has happened already, since the record was read.
 */
export async function setAside(
  { digest, size, storedAt }: Pick<BlobRecord, 'digest' | 'size' | 'storedAt'>,
  { ledger, store }: { readonly ledger: Ledger; readonly store: BlobStore },
): Promise<void> {
  if (await ledger.forget(digest, storedAt)) await store.quarantine(digest, size);
}
