import type { BlobRecord, BlobStore, Clock, Ledger } from '../mirror/ports.ts';
import { algorithmOf, Digester } from '../oci/digest.ts';
import { allBlobs } from './reconcile.ts';

export interface Damaged {
  readonly record: BlobRecord;
  readonly reason: 'wrong-content' | 'wrong-size' | 'missing' | 'unreadable';
}

export interface Scrub {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Undefined for as fast as the disk is. */
  readonly bytesPerSecond?: number | undefined;
  /** Of what was hashed since the last call. */
  readonly onHashed: (bytes: number) => void;
  readonly signal: AbortSignal;
}

const pieceBytes = 1024 * 1024;

/** Hashes everything that is stored, and gives what is not what its digest says. It changes nothing. */
export async function* scrub({
  store,
  ledger,
  clock,
  bytesPerSecond = Number.POSITIVE_INFINITY,
  onHashed,
  signal,
}: Scrub): AsyncIterable<Damaged> {
  const piece = Buffer.allocUnsafe(pieceBytes);
  const startedAt = clock.now();
  let hashed = 0;
  for await (const record of allBlobs(ledger)) {
    if (signal.aborted) return;
    const reason = await judge(record, store, piece, async (bytes) => {
      hashed += bytes;
      onHashed(bytes);
      const aheadMs = (hashed / bytesPerSecond) * 1000 - (clock.now() - startedAt);
      if (aheadMs > 0) await clock.sleep(aheadMs, signal);
      return !signal.aborted;
    });
    // It may have been evicted, or stored anew, while it was looked at.
    const now = reason && (await ledger.blob(record.digest));
    if (reason !== undefined && now?.storedAt === record.storedAt) yield { record, reason };
  }
}

/** Undefined for a blob in order, or when `goOn` said no. */
async function judge(
  { digest, size }: BlobRecord,
  store: BlobStore,
  piece: Buffer,
  goOn: (bytes: number) => Promise<boolean>,
): Promise<Damaged['reason'] | undefined> {
  try {
    await using reader = await store.open(digest);
    if (reader === undefined) return 'missing';
    if (reader.size !== size) return 'wrong-size';
    const digester = new Digester(algorithmOf(digest));
    for (let position = 0; position < size; ) {
      const count = await reader.read(piece, position);
      if (count === 0) return 'wrong-size';
      digester.update(piece.subarray(0, count));
      position += count;
      if (!(await goOn(count))) return undefined;
    }
    return digester.digest() === digest ? undefined : 'wrong-content';
  } catch (error) {
    // The disk cannot read it. Anything else, such as too many open files, says nothing about the blob.
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 'unreadable';
    throw error;
  }
}
