import type { BlobRecord, BlobStore, Ledger } from './ports.ts';

/** Content that is gone, or not what its digest says, is forgotten and never served again: the next demand fetches it anew. */
export async function setAside(
  { digest, size }: Pick<BlobRecord, 'digest' | 'size'>,
  { ledger, store }: { readonly ledger: Ledger; readonly store: BlobStore },
): Promise<void> {
  if (await ledger.forget(digest)) await store.quarantine(digest, size);
}
