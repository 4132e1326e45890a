import { setImmediate } from 'node:timers/promises';
import type { BlobStore, Ledger, Leftover, UseOrder } from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';

export interface Garbage {
  readonly kind: 'blob' | Leftover['kind'];
  readonly digest: Digest;
  readonly bytes: number;
}

interface Collection {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  /** Nothing that was used or written to since goes; milliseconds since 1970. */
  readonly before: number;
  readonly dryRun: boolean;
  /** Told how many blobs were looked at since the last call. */
  readonly onLooked: (blobs: number) => void;
  readonly signal: AbortSignal;
}

const blobsAtOnce = 200;

/** Removes what serves nobody, beside pulls: interrupted downloads, damaged files, and blobs that belong to no image. */
export async function* collectGarbage(collection: Collection): AsyncIterable<Garbage> {
  const { store, before, dryRun, signal } = collection;
  for (const leftover of await store.leftovers()) {
    if (signal.aborted) return;
    if (leftover.at >= before || !(dryRun || (await store.drop(leftover)))) continue;
    yield { kind: leftover.kind, digest: leftover.digest, bytes: leftover.size };
  }
  yield* unreferenced(collection);
}

async function* unreferenced({ store, ledger, before, dryRun, onLooked, signal }: Collection): AsyncIterable<Garbage> {
  let after: UseOrder | undefined;
  for (;;) {
    const page = await ledger.leastUsed({ after, limit: blobsAtOnce });
    for (const { digest, size, usedAt, isManifest } of page) {
      if (usedAt >= before || signal.aborted) return;
      if (isManifest) continue;
      const gone = dryRun ? [{ digest, size }] : await ledger.evict(digest, await store.inUse());
      await Promise.all(dryRun ? [] : gone.map((blob) => store.delete(blob.digest, blob.size)));
      for (const blob of gone) yield { kind: 'blob', digest: blob.digest, bytes: blob.size };
    }
    onLooked(page.length);
    after = page.at(-1);
    if (after === undefined) return;
    await setImmediate();
  }
}
