import { join } from 'node:path';
import type { Recovery } from '../admin/operations.ts';
import type { Config } from '../config/config.ts';
import { HotLedger } from '../ledger/hot-ledger.ts';
import { SqliteLedger } from '../ledger/sqlite-ledger.ts';
import { systemClock } from '../ops/clock.ts';
import type { Logger } from '../ops/logger.ts';
import { Budget } from '../store/budget.ts';
import { DiskBlobStore } from '../store/disk-blob-store.ts';
import { ensureDirectory } from '../store/files.ts';
import { reconcile } from '../store/reconcile.ts';
import { messageOf, StartupError } from './startup-error.ts';

/** Everything below the data directory. */
export class Storage {
  readonly store: DiskBlobStore;
  readonly ledger: HotLedger;
  readonly #sqlite: SqliteLedger;
  readonly #log: Logger;
  /** Ledger and store agree: a stop after that is a clean one. */
  #isReconciled: boolean;

  private constructor(parts: { store: DiskBlobStore; sqlite: SqliteLedger; wasClean: boolean; log: Logger }) {
    this.store = parts.store;
    this.#sqlite = parts.sqlite;
    this.ledger = new HotLedger(parts.sqlite);
    this.#isReconciled = parts.wasClean;
    this.#log = parts.log;
  }

  /** @throws {StartupError} */
  static async open({ storage }: Config, log: Logger): Promise<Storage> {
    try {
      await ensureDirectory(storage.path);
      const budget = new Budget(storage.maxSize);
      const sqlite = new SqliteLedger(join(storage.path, 'ledger.db'));
      const wasClean = await sqlite.takeCleanMark();
      const store = await DiskBlobStore.open(storage.path, budget, {
        minFree: storage.minFree,
        mayHaveStrays: !wasClean,
      });
      budget.count((await sqlite.totals()).bytes);
      return new Storage({ store, sqlite, wasClean, log });
    } catch (error) {
      throw new StartupError(`the data directory ${storage.path} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  }

  /** What a lost or damaged ledger cost. */
  get recovery(): Recovery | null {
    return null;
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
      this.#isReconciled = !signal.aborted;
    } catch (error) {
      this.#log.error({ err: error }, 'store and ledger could not be compared');
    }
  }

  /** Rejects when it cannot be used. */
  async check(): Promise<void> {
    await Promise.all([this.store.check(), this.#sqlite.check()]);
  }

  close(): void {
    try {
      this.#sqlite.close({ clean: this.#isReconciled });
    } catch (error) {
      this.#log.error(
        { err: error },
        'the ledger could not write its last entries; the next start compares it with the store',
      );
    }
  }
}
