import type { Clock } from '../mirror/ports.ts';
import type { Journal } from './journal.ts';
import type { LedgerRows } from './ledger-rows.ts';

/** A journal that has grown to so many times its size when it was last rewritten is mostly history. */
const maxGrowth = 4;
/** Below this, reading all of it takes no second. */
const smallBytes = 16 * 1024 * 1024;

const checkEveryMs = 60_000;
/** On a full disk, each try takes room for a while that others wait for. */
const retryAfterMs = 10 * 60_000;
/** Between two pages: a page takes some milliseconds, and requests are to have most of the time. */
const pauseMs = 10;

/** In the ledger's notes: how large the journal was when it was last whole, in bytes. Without it, no journal can be trusted to be. */
const wholeNote = 'journal was whole';

export interface JournalKeeping {
  readonly journal: Journal;
  readonly rows: LedgerRows;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly signal: AbortSignal;
  /** A rewriting has failed; the journal goes on as it is, and the next try is made after a while. */
  readonly onTrouble: (error: unknown) => void;
}

/** Writes the journal anew whenever something may be missing from it, or most of it is history. Ends with the signal. */
export async function keepJournal({ journal, rows, clock, signal, onTrouble }: JournalKeeping): Promise<void> {
  while (!signal.aborted) {
    let waitMs = checkEveryMs;
    try {
      if (isDue(journal, rows)) await rewriteJournal({ journal, rows, clock, signal });
    } catch (error) {
      onTrouble(error);
      waitMs = retryAfterMs;
    }
    await clock.sleep(waitMs, signal);
  }
}

function isDue(journal: Journal, rows: LedgerRows): boolean {
  const wholeBytes = Number(rows.note(wholeNote) ?? Number.NaN);
  if (journal.hasGap || Number.isNaN(wholeBytes)) return true;
  return journal.bytes > maxGrowth * Math.max(wholeBytes, smallBytes);
}

/**
 * Writes all that the ledger holds to a new journal, which then takes the place of the old one. Each page is read and written
 * in one tick, and what is appended meanwhile goes to both: the last fact about a thing stays the one that is true of it.
 */
export async function rewriteJournal({
  journal,
  rows,
  clock,
  signal,
}: Omit<JournalKeeping, 'onTrouble'>): Promise<void> {
  // A stop on the way must not let a journal with a gap pass for a whole one.
  rows.setNote(wholeNote, undefined);
  try {
    journal.beginNext();
    for (const facts of rows.pages()) {
      journal.addToNext(facts);
      await clock.sleep(pauseMs, signal);
      if (signal.aborted) return;
    }
    await journal.takeNext();
    rows.setNote(wholeNote, String(journal.bytes));
  } finally {
    await journal.dropNext();
  }
}
