import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Journal } from '../../src/ledger/journal.ts';
import { JournaledLedger } from '../../src/ledger/journaled-ledger.ts';
import { type OpenedLedger, openLedger } from '../../src/ledger/open-ledger.ts';
import { type Recovery, rebuildLedger } from '../../src/ledger/rebuild.ts';
import { rewriteJournal } from '../../src/ledger/rewrite-journal.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import type { BlobReader, BlobStore } from '../../src/mirror/ports.ts';
import type { Digest } from '../../src/oci/digest.ts';

export const never = new AbortController().signal;
export const atOnce = { sleep: () => Promise.resolve() };

type Store = Pick<BlobStore, 'open' | 'list' | 'quarantine'>;

/** Files by digest. */
export class StoreInMemory implements Store {
  readonly files = new Map<Digest, Uint8Array>();
  readonly quarantined = new Set<Digest>();

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const bytes = this.files.get(digest);
    return Promise.resolve(
      bytes && {
        size: bytes.length,
        read: (target, position) => {
          const piece = bytes.subarray(position, position + target.length);
          target.set(piece);
          return Promise.resolve(piece.length);
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
    );
  }

  async *list(): AsyncIterable<{ digest: Digest; size: number; storedAt: number }> {
    await Promise.resolve();
    for (const [digest, bytes] of this.files) yield { digest, size: bytes.length, storedAt: 0 };
  }

  async quarantine(digest: Digest): Promise<void> {
    this.files.delete(digest);
    this.quarantined.add(digest);
    return Promise.resolve();
  }
}

/** A data directory's ledger and journal, used as a daemon does. */
export class LedgerFiles implements AsyncDisposable {
  readonly root: string;
  readonly damage: Error[] = [];
  readonly trouble: Error[] = [];
  #opened: { readonly sqlite: SqliteLedger; readonly journal: Journal; readonly ledger: JournaledLedger } | undefined;

  readonly #isInMemory: boolean;

  private constructor(root: string, isInMemory: boolean) {
    this.root = root;
    this.#isInMemory = isInMemory;
  }

  /** An empty directory. */
  static async prepare({ inMemory = false } = {}): Promise<LedgerFiles> {
    return new LedgerFiles(await mkdtemp(join(tmpdir(), 'entrepot-ledger-')), inMemory);
  }

  /** In memory, the ledger is lost with every stop, and quick. */
  static async start(options: { readonly inMemory?: boolean } = {}): Promise<LedgerFiles> {
    const files = await LedgerFiles.prepare(options);
    await files.start(new StoreInMemory());
    return files;
  }

  get ledger(): JournaledLedger {
    return this.#inUse().ledger;
  }

  get sqlite(): SqliteLedger {
    return this.#inUse().sqlite;
  }

  get journal(): Journal {
    return this.#inUse().journal;
  }

  #inUse() {
    if (this.#opened === undefined) throw new Error('the ledger is closed');
    return this.#opened;
  }

  path(name = 'ledger.db'): string {
    return join(this.root, name);
  }

  async open(): Promise<OpenedLedger> {
    if (this.#isInMemory) {
      const isNew = { why: 'lost', reason: 'ledger.db was not there', setAside: null } as const;
      return { ledger: new SqliteLedger(':memory:'), isNew };
    }
    return openLedger(this.root, { now: () => 1_700_000_000_000, onDamage: (error) => this.damage.push(error) });
  }

  /** A start as far as it concerns the ledger. */
  async start(store: Store, options: Partial<Parameters<typeof rebuildLedger>[0]> = {}): Promise<Recovery | undefined> {
    const { ledger: sqlite, isNew } = await this.open();
    try {
      const journal = await Journal.open(this.root, (error) => this.trouble.push(error));
      const rebuild = { ledger: sqlite, dataPath: this.root, store, now: Date.now, onProgress: () => undefined };
      const recovery = isNew && (await rebuildLedger({ ...rebuild, isNew, signal: never, ...options }));
      this.#opened = { sqlite, journal, ledger: new JournaledLedger(sqlite, journal) };
      if (journal.hasGap) await this.rewrite();
      return recovery;
    } catch (error) {
      sqlite.close({ clean: false });
      throw error;
    }
  }

  rewrite(): Promise<void> {
    return rewriteJournal({ journal: this.journal, rows: this.sqlite.rows, clock: atOnce, signal: never });
  }

  stop(): void {
    this.#opened?.sqlite.close({ clean: true });
    this.#opened?.journal.close();
    this.#opened = undefined;
  }

  async loseLedger(): Promise<void> {
    this.stop();
    for (const suffix of ['', '-wal', '-shm']) await rm(this.path(`ledger.db${suffix}`), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await rm(this.root, { recursive: true, force: true });
  }
}
