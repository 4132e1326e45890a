// eslint-disable-next-line no-restricted-imports -- a daemon whose ledger is damaged may have little time left to say so
import { writeFileSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { syncDirectory, unlessMissing } from '../ops/durable-files.ts';
import { isDamage } from './damage.ts';
import { journalPath } from './journal.ts';
import { layoutOf } from './migrations.ts';
import { SqliteLedger } from './sqlite-ledger.ts';

/** Why a ledger is new, and has to be filled from the journal before it is used. */
export interface NewLedger {
  readonly why: 'first start' | 'lost' | 'damaged';
  /** In a sentence, for the operator. */
  readonly reason: string;
  /** The damaged ledger's new name in the data directory; null when there was none left. */
  readonly setAside: string | null;
}

export interface OpenedLedger {
  readonly ledger: SqliteLedger;
  /** Undefined for a ledger that was found sound. */
  readonly isNew: NewLedger | undefined;
}

export interface LedgerOpening {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Damage has shown while the ledger was in use; the next start puts it aside. Called once. */
  readonly onDamage: (error: Error) => void;
}

/** `PRAGMA quick_check` reads some 0.8 GB/s: up to this size it takes a fifth of a second, and is made at every start. */
const checkAlwaysBytes = 128 * 1024 * 1024;
/** After a stop that was not clean, one or two seconds are well spent. Beyond, damage is noticed when it is met. */
const checkAfterCrashBytes = 1024 * 1024 * 1024;

/** In the notes of a ledger that is being filled: why it is new, as JSON. Until it is gone, there is nothing in it to keep. */
export const fillingNote = 'being filled';

/** What SQLite keeps of one database. */
const suffixes = ['', '-wal', '-shm', '-journal'] as const;

/**
 * Opens the data directory's ledger. One that is damaged is put aside, never overwritten, and a new one stands in its place.
 * Throws, with the file as it was, when it cannot be read or written, or belongs to a newer version or another program.
 * The caller holds the lock on the directory.
 */
export async function openLedger(dataPath: string, { now, onDamage }: LedgerOpening): Promise<OpenedLedger> {
  const found = await openFound(dataPath, onDamage);
  if (typeof found === 'object') {
    const filling = found.rows.note(fillingNote);
    if (filling === undefined) return { ledger: found, isNew: undefined };
    found.close({ clean: false });
    return startOver(dataPath, JSON.parse(filling) as NewLedger, onDamage);
  }
  const hadLedger = (await sizeOf(join(dataPath, 'ledger.db'))) !== undefined;
  const setAside = await putAside(dataPath, now());
  const hadJournal = (await sizeOf(journalPath(dataPath))) !== undefined;
  await rm(markPath(dataPath), { force: true });
  return startOver(dataPath, whyNew({ hadLedger, hadJournal, damage: found, setAside }), onDamage);
}

/** The ledger that is there, or what is wrong with it; undefined when there is none. */
async function openFound(
  dataPath: string,
  onDamage: LedgerOpening['onDamage'],
): Promise<SqliteLedger | string | undefined> {
  if ((await sizeOf(join(dataPath, 'ledger.db'))) === undefined) return undefined;
  const damage = await damageOf(dataPath);
  if (damage !== undefined) return damage;
  try {
    return openWatched(dataPath, onDamage);
  } catch (error) {
    if (error instanceof Error && isDamage(error.cause)) return error.cause.message;
    throw error;
  }
}

function whyNew(found: {
  readonly hadLedger: boolean;
  readonly hadJournal: boolean;
  readonly damage: string | undefined;
  readonly setAside: string | null;
}): NewLedger {
  const { setAside } = found;
  if (found.hadLedger)
    return {
      why: 'damaged',
      reason: `ledger.db was damaged: ${(found.damage ?? '').replaceAll(/\s+/g, ' ')}`,
      setAside,
    };
  if (found.hadJournal || setAside !== null) return { why: 'lost', reason: 'ledger.db was not there', setAside };
  return { why: 'first start', reason: 'there was no ledger.db', setAside };
}

/** Under its own name there is never a ledger of which nobody can tell that it still has to be filled. */
async function startOver(
  dataPath: string,
  isNew: NewLedger,
  onDamage: LedgerOpening['onDamage'],
): Promise<OpenedLedger> {
  const [path, newPath] = [join(dataPath, 'ledger.db'), join(dataPath, 'ledger.db.new')];
  for (const suffix of suffixes) {
    await rm(newPath + suffix, { force: true });
    await rm(path + suffix, { force: true });
  }
  const empty = new SqliteLedger(newPath);
  try {
    empty.rows.setNote(fillingNote, JSON.stringify(isNew));
  } finally {
    empty.close({ clean: false });
  }
  await rename(newPath, path);
  await syncDirectory(dataPath);
  return { ledger: openWatched(dataPath, onDamage), isNew };
}

function openWatched(dataPath: string, onDamage: LedgerOpening['onDamage']): SqliteLedger {
  return new SqliteLedger(join(dataPath, 'ledger.db'), (error) => {
    try {
      writeFileSync(markPath(dataPath), `${error.message}\n`);
    } catch {
      // The next start will find the damage by itself, or meet it again.
    }
    onDamage(error);
  });
}

/** Stands beside a ledger that a running daemon has found damaged, with SQLite's words for it. */
function markPath(dataPath: string): string {
  return join(dataPath, 'ledger.damaged');
}

/** What shows before the ledger is opened for writing; undefined for a sound one, and one that is not ours to judge. */
async function damageOf(dataPath: string): Promise<string | undefined> {
  const mark = await readFile(markPath(dataPath), 'utf8').catch(unlessMissing);
  if (mark !== undefined) return mark.trim();
  const path = join(dataPath, 'ledger.db');
  const bytes = (await sizeOf(path)) ?? 0;
  if (bytes === 0 && (await hasCompany(dataPath))) return 'the file is empty';
  return inspect(path, bytes);
}

/** An empty file by itself may come of a first start that was cut short. */
async function hasCompany(dataPath: string): Promise<boolean> {
  const others = [journalPath(dataPath), join(dataPath, 'ledger.db-wal')];
  return (await Promise.all(others.map(sizeOf))).some((bytes) => bytes !== undefined);
}

/** Reads only, so that damage is not made worse by a migration or a checkpoint. */
function inspect(path: string, bytes: number): string | undefined {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true });
    if (layoutOf(db) === 0 || !isWorthChecking(db, bytes)) return undefined;
    const found = db.pragma('quick_check(1)', { simple: true });
    return found === 'ok' ? undefined : String(found);
  } catch (error) {
    // Anything else is for the opening to say.
    return isDamage(error) ? error.message : undefined;
  } finally {
    db?.close();
  }
}

function isWorthChecking(db: Database.Database, bytes: number): boolean {
  if (bytes <= checkAlwaysBytes) return true;
  const wasCleanStop = db.prepare("SELECT 1 FROM facts WHERE name = 'stopped cleanly'").get() !== undefined;
  return !wasCleanStop && bytes <= checkAfterCrashBytes;
}

/** Gives the new name of what was there: what SQLite left beside a lost ledger must not be taken for part of a new one. */
async function putAside(dataPath: string, now: number): Promise<string | null> {
  const name = await freeName(dataPath, now);
  let isAside = false;
  for (const suffix of suffixes) {
    const moved = await rename(join(dataPath, `ledger.db${suffix}`), join(dataPath, `${name}${suffix}`))
      .then(() => true)
      .catch(unlessMissing);
    isAside ||= moved === true;
  }
  if (!isAside) return null;
  await syncDirectory(dataPath);
  return name;
}

/** Evidence is never overwritten. */
async function freeName(dataPath: string, now: number): Promise<string> {
  const stamp = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  for (let count = 1; ; count++) {
    const name = `ledger.db.damaged-${stamp}${count === 1 ? '' : `-${count}`}`;
    const taken = await Promise.all(suffixes.map((suffix) => sizeOf(join(dataPath, `${name}${suffix}`))));
    if (taken.every((bytes) => bytes === undefined)) return name;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(({ size }) => size, unlessMissing);
}
