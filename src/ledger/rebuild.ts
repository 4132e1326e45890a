import type { BlobStore } from '../mirror/ports.ts';
import { readStored } from '../mirror/read-stored.ts';
import type { Digest } from '../oci/digest.ts';
import { type Child, childrenOf } from '../oci/manifest.ts';
import type { BlobFact } from './facts.ts';
import { readJournal } from './journal.ts';
import type { FoundBlob, LedgerRefill, Refilled } from './ledger-refill.ts';
import type { LedgerRows } from './ledger-rows.ts';
import { fillingNote, type NewLedger } from './open-ledger.ts';
import type { SqliteLedger } from './sqlite-ledger.ts';

/** What a lost or damaged ledger cost. */
export interface Recovery {
  /** ISO 8601. */
  readonly at: string;
  readonly reason: string;
  readonly setAside: string | null;
  readonly recovered: Refilled;
  /** What could not be recovered, a sentence each. */
  readonly lost: readonly string[];
}

export interface Rebuild {
  readonly ledger: SqliteLedger;
  readonly isNew: NewLedger;
  readonly dataPath: string;
  readonly store: Pick<BlobStore, 'open' | 'list' | 'quarantine'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** First the journal in bytes, then what the store has in blobs. */
  readonly onProgress: (progress: { done: number; total: number; unit: 'bytes' | 'blobs' }) => void;
  readonly signal: AbortSignal;
  /** Brings back what is hosted, whose truth lies elsewhere; gives what could not be, a sentence each. */
  readonly restoreHosted?: () => Promise<readonly string[]>;
}

/** In the ledger's notes, for as long as it lives. */
const recoveryNote = 'recovery';

/** Files found are recorded together. */
const filesAtOnce = 500;
/** Of these, so many are read at once: 64 MiB of manifests at the very most. */
const readAtOnce = 16;

interface Seen {
  hasJournal: boolean;
  unreadable: number;
  /** Files that no fact speaks of. */
  unknown: number;
  /** Files that are not what a fact says. */
  unsound: number;
  missing: number;
  lostTags: number;
}

/**
 * Fills a new ledger with what the journal says of what the store has, before the daemon serves. Content of which nothing is
 * said stays where it is; the comparison of store and ledger takes it in, as content that is not public. Undefined when there
 * was nothing to recover. Rejects with the signal's reason when it is aborted: the next start begins again.
 */
export async function rebuildLedger(rebuild: Rebuild): Promise<Recovery | undefined> {
  const { ledger, isNew, now } = rebuild;
  const refill = ledger.refill();
  const seen: Seen = { hasJournal: false, unreadable: 0, unknown: 0, unsound: 0, missing: 0, lostTags: 0 };
  await replayJournal(rebuild, refill, seen);
  await findFiles(rebuild, refill, seen);
  await sweep(rebuild, refill, seen);
  seen.lostTags = refill.settleTags(now());
  const lostHosted = (await rebuild.restoreHosted?.()) ?? [];

  const recovered = refill.counts();
  const isFirst = isNew.why === 'first start' && seen.unknown === 0;
  const { reason, setAside } = isNew;
  const recovery = isFirst
    ? undefined
    : {
        at: new Date(now()).toISOString(),
        reason,
        setAside,
        recovered,
        lost: [...lostHosted, ...lostOf(seen, recovered)],
      };
  const report = recovery && { name: recoveryNote, value: JSON.stringify(recovery) };
  refill.end({ removed: fillingNote, ...(report === undefined ? {} : { report }) });
  return recovery;
}

/** The recovery that this ledger came out of, if any. */
export function recoveryOf(ledger: { readonly rows: LedgerRows }): Recovery | undefined {
  const note = ledger.rows.note(recoveryNote);
  return note === undefined ? undefined : (JSON.parse(note) as Recovery);
}

async function replayJournal(
  { dataPath, onProgress, signal }: Rebuild,
  refill: LedgerRefill,
  seen: Seen,
): Promise<void> {
  for await (const { facts, unreadable, bytes, total } of readJournal(dataPath)) {
    signal.throwIfAborted();
    seen.hasJournal = true;
    seen.unreadable += unreadable;
    refill.apply(facts);
    onProgress({ done: bytes, total, unit: 'bytes' });
  }
}

async function findFiles(
  { ledger, store, onProgress, signal }: Rebuild,
  refill: LedgerRefill,
  seen: Seen,
): Promise<void> {
  const { blobs: total } = await ledger.totals();
  let done = 0;
  const look = async (files: readonly StoredFile[]) => {
    signal.throwIfAborted();
    const found: FoundBlob[] = [];
    for (let from = 0; from < files.length; from += readAtOnce) {
      const some = files.slice(from, from + readAtOnce);
      const judged = some.map((file) => judge(file, ledger.rows.blob(file.digest), { store, seen }));
      found.push(...(await Promise.all(judged)).filter((blob) => blob !== undefined));
    }
    refill.found(found);
    done += files.length;
    onProgress({ done: Math.min(done, total), total, unit: 'blobs' });
  };
  let files: StoredFile[] = [];
  for await (const file of store.list()) {
    files.push(file);
    if (files.length < filesAtOnce) continue;
    await look(files);
    files = [];
  }
  await look(files);
}

interface StoredFile {
  readonly digest: Digest;
  readonly size: number;
}

/** What of the file belongs into the ledger. One that is not what the fact says is put where nothing serves it. */
async function judge(
  file: StoredFile,
  fact: BlobFact | undefined,
  { store, seen }: { readonly store: Rebuild['store']; readonly seen: Seen },
): Promise<FoundBlob | undefined> {
  if (fact === undefined) {
    seen.unknown++;
    return undefined;
  }
  const children = file.size === fact.size ? await childrenOfFile(fact, store) : undefined;
  if (children !== undefined) return { digest: file.digest, children };
  seen.unsound++;
  // Nothing has counted it yet.
  await store.quarantine(file.digest, 0);
  return undefined;
}

/** None of a blob; undefined for a file that is not the manifest that it should be. */
async function childrenOfFile(
  { digest, size, mediaType }: BlobFact,
  store: Rebuild['store'],
): Promise<readonly Child[] | undefined> {
  if (mediaType === undefined) return [];
  const bytes = await readStored(store, digest);
  if (bytes?.length !== size) return undefined;
  const children = childrenOf(bytes, mediaType);
  return children.ok ? children.value : undefined;
}

async function sweep({ signal }: Rebuild, refill: LedgerRefill, seen: Seen): Promise<void> {
  for (let swept = refill.sweep(); swept !== undefined; swept = refill.sweep()) {
    seen.missing += swept;
    signal.throwIfAborted();
    await nextTurn();
  }
  seen.missing -= seen.unsound;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function lostOf(seen: Seen, recovered: Refilled): string[] {
  const lost: string[] = [];
  if (!seen.hasJournal) {
    lost.push('There was no journal.ndjson: repositories, tags and pins of everything are not known any more.');
  }
  if (recovered.manifests > 0) {
    lost.push('When each image was last used; until it is used again, its tag or its download tells what goes first.');
  }
  if (seen.unknown > 0) {
    lost.push(
      `What repository ${counted(seen.unknown, 'stored file')} came from; it is served again where an upstream vouches for it.`,
    );
  }
  if (seen.unreadable > 0) lost.push(`${counted(seen.unreadable, 'line')} of journal.ndjson could not be read.`);
  if (seen.unsound > 0) lost.push(`${counted(seen.unsound, 'stored file')} did not hold what was recorded.`);
  if (seen.missing > 0) lost.push(`${counted(seen.missing, 'recorded file')} could not be found.`);
  if (seen.lostTags > 0) lost.push(`${counted(seen.lostTags, 'tag')} named a manifest that is not stored any more.`);
  return lost;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
