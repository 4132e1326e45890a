import { access, constants } from 'node:fs/promises';
import type { Progress, Recovery } from '../admin/operations.ts';
import type { Config } from '../config/config.ts';
import type { HostedNotes, Uploads } from '../hosted/ports.ts';
import { restoreHosted } from '../hosted/restore.ts';
import { type DataDirectoryLock, lockDataDirectory } from '../ledger/data-directory-lock.ts';
import { HostedIndex } from '../ledger/hosted-index.ts';
import { HotLedger } from '../ledger/hot-ledger.ts';
import { Journal } from '../ledger/journal.ts';
import { JournaledLedger } from '../ledger/journaled-ledger.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { rebuildLedger, recoveryOf } from '../ledger/rebuild.ts';
import { keepJournal } from '../ledger/rewrite-journal.ts';
import type { SqliteLedger } from '../ledger/sqlite-ledger.ts';
import { systemClock } from '../ops/clock.ts';
import { ensureDirectory } from '../ops/durable-files.ts';
import type { Logger } from '../ops/logger.ts';
import { Budget } from '../store/budget.ts';
import { DiskBlobStore, dropBallastIfFull } from '../store/disk-blob-store.ts';
import { DiskUploads } from '../store/disk-uploads.ts';
import { DiskHostedNotes } from '../store/hosted-notes.ts';
import { Layout } from '../store/layout.ts';
import { reconcile } from '../store/reconcile.ts';
import { messageOf, StartupError } from './startup-error.ts';

export interface Opening {
  readonly log: Logger;
  /** Of what has to be done before the start, and may take long. */
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal;
}

interface Parts {
  readonly store: DiskBlobStore;
  readonly ledger: HotLedger;
  readonly index: HostedIndex;
  readonly notes: HostedNotes;
  readonly uploads: Uploads;
  readonly sqlite: SqliteLedger;
  readonly journal: Journal;
  readonly recovery: Recovery | null;
  readonly wasClean: boolean;
}

/** Of a data directory that is made here: names of private repositories are nobody else's business. */
const onlyOwner = 0o700;

/** Everything below the data directory. */
export class Storage {
  readonly store: DiskBlobStore;
  readonly ledger: HotLedger;
  /** The ledger's side of hosting. */
  readonly index: HostedIndex;
  readonly notes: HostedNotes;
  readonly uploads: Uploads;
  /** What a lost or damaged ledger cost. */
  readonly recovery: Recovery | null;
  readonly #sqlite: SqliteLedger;
  readonly #journal: Journal;
  readonly #lock: DataDirectoryLock;
  readonly #log: Logger;
  /** Ledger and store agree: a stop after that is a clean one. */
  #isReconciled: boolean;

  private constructor(
    { store, ledger, index, notes, uploads, sqlite, journal, recovery, wasClean }: Parts,
    lock: DataDirectoryLock,
    log: Logger,
  ) {
    this.store = store;
    this.ledger = ledger;
    this.index = index;
    this.notes = notes;
    this.uploads = uploads;
    this.recovery = recovery;
    this.#sqlite = sqlite;
    this.#journal = journal;
    this.#lock = lock;
    this.#isReconciled = wasClean;
    this.#log = log;
  }

  /** @throws {StartupError} */
  static async open({ storage }: Config, opening: Opening): Promise<Storage> {
    try {
      await ensureDirectory(storage.path, onlyOwner);
      await access(storage.path, constants.R_OK | constants.W_OK | constants.X_OK);
      const lock = await lockDataDirectory(storage.path);
      try {
        await dropBallastIfFull(storage.path);
        return new Storage(await openParts(storage, opening), lock, opening.log);
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw new StartupError(`the data directory ${storage.path} cannot be used: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  get isReconciled(): boolean {
    return this.#isReconciled;
  }

  /** After a stop that was not clean. Never rejects. */
  async reconcile(signal: AbortSignal): Promise<void> {
    if (this.#isReconciled) return;
    try {
      const { store, ledger } = this;
      const found = await reconcile({ store, ledger, now: () => systemClock.now(), signal });
      if (found.adopted + found.forgotten > 0)
        this.#log.warn(found, 'store and ledger did not agree after an unclean stop, now they do');
      if (found.lostHosted.length > 0)
        this.#log.error({ lost: found.lostHosted }, 'hosted content is gone: push it again');
      this.#isReconciled = !signal.aborted;
    } catch (error) {
      this.#log.error({ err: error }, 'store and ledger could not be compared');
    }
  }

  /** Until the signal aborts. */
  keepJournal(signal: AbortSignal): Promise<void> {
    return keepJournal({
      journal: this.#journal,
      rows: this.#sqlite.rows,
      clock: systemClock,
      signal,
      onTrouble: (error) => this.#log.warn({ err: error }, 'the journal could not be written anew'),
    });
  }

  /** Rejects when it cannot be used. */
  async check(): Promise<void> {
    await Promise.all([this.store.check(), this.#sqlite.check()]);
  }

  /** As clean as it was opened, until it is reconciled. */
  async close(): Promise<void> {
    try {
      this.#sqlite.close({ clean: this.#isReconciled });
    } catch (error) {
      this.#log.error(
        { err: error },
        'the ledger could not write its last entries; the next start compares it with the store',
      );
    }
    this.#journal.close();
    await this.#lock.release();
  }
}

/** In the ledger's notes: those of what is hosted are gone, and are being written anew from the ledger. */
const lostNotes = 'hosted notes are lost';

async function openParts({ path, maxSize, minFree }: Config['storage'], opening: Opening): Promise<Parts> {
  const { log, onProgress, signal } = opening;
  const now = () => systemClock.now();
  const onDamage = (error: Error) => log.error({ err: error }, 'the ledger is damaged: restart, and it is made anew');
  const { ledger: sqlite, isNew } = await openLedger(path, { now, onDamage });
  try {
    const onTrouble = (error: Error) => log.warn({ err: error }, 'the journal beside the ledger cannot be written');
    const journal = await Journal.open(path, onTrouble);
    const wasClean = await sqlite.takeCleanMark();
    const budget = new Budget(maxSize);
    const store = await DiskBlobStore.open(path, budget, { minFree, mayHaveStrays: !wasClean });
    const ledger = new HotLedger(new JournaledLedger(sqlite, journal));
    const index = new HostedIndex({ sqlite, journal, hot: ledger });
    const layout = new Layout(path);
    const notes = await DiskHostedNotes.open(layout, store.room);
    // Until all are written anew, a directory with some of them must not pass for the truth.
    const areNotesLost = notes.isNew || sqlite.rows.note(lostNotes) !== undefined;
    if (areNotesLost) sqlite.rows.setNote(lostNotes, 'yes');
    const uploads = await DiskUploads.open(layout, store);
    if (isNew !== undefined) {
      const rebuild = { ledger: sqlite, isNew, dataPath: path, store, now, onProgress, signal };
      const recovery = await rebuildLedger({ ...rebuild, restoreHosted: () => restore(true) });
      if (recovery !== undefined) log.warn(recovery, 'the ledger was made anew');
    } else if (!wasClean || areNotesLost) {
      const lost = await restore(false);
      if (lost.length > 0) log.error({ lost }, 'hosted content is damaged or missing');
    }
    sqlite.rows.setNote(lostNotes, undefined);
    const { bytes, hostedBytes } = await sqlite.totals();
    budget.count(bytes - hostedBytes);
    store.lookUp = (digest) => ledger.blob(digest);
    return { store, ledger, index, notes, uploads, sqlite, journal, wasClean, recovery: recoveryOf(sqlite) ?? null };

    async function restore(isDeep: boolean): Promise<readonly string[]> {
      const restored = await restoreHosted({ notes, areNotesLost, ledger, index, store, isDeep, now });
      return restored.lost;
    }
  } catch (error) {
    sqlite.close({ clean: false });
    throw error;
  }
}
