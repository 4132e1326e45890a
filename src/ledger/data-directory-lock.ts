import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';

/** Of two that come at the same time, each may see the other on its way to the lock: then both try again. */
const settleMs = 500;

/** Another process has the data directory; the message names it when it can. */
export class DataDirectoryInUse extends Error {
  override readonly name = 'DataDirectoryInUse';
}

export interface DataDirectoryLock {
  /** Safe to call twice. */
  release(): Promise<void>;
}

/**
 * Makes this the only daemon on the directory, which must exist. The lock is one of the operating system on an open file,
 * which SQLite knows how to take: it ends with the process, however that ends, and no stale file can hold it.
 *
 * @throws {DataDirectoryInUse}
 */
export async function lockDataDirectory(dataPath: string): Promise<DataDirectoryLock> {
  const db = await takeLock(dataPath);
  const pidPath = join(dataPath, 'entrepot.pid');
  // For the message of whoever comes next. In a file of its own: opening and closing the locked one would let the lock go.
  await writeFile(pidPath, `${process.pid}\n`).catch((error: unknown) => {
    // A full disk is no reason not to start.
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return;
    db.close();
    throw error;
  });
  return {
    release: async () => {
      if (!db.open) return;
      await rm(pidPath, { force: true });
      db.close();
    },
  };
}

async function takeLock(dataPath: string): Promise<Database.Database> {
  const db = openLockFile(join(dataPath, 'entrepot.lock'));
  try {
    // Nothing is ever written to it: no file beside it for what would be undone.
    db.pragma('journal_mode = MEMORY');
    db.exec('BEGIN EXCLUSIVE');
    return db;
  } catch (error) {
    db.close();
    if (!(error instanceof Database.SqliteError) || error.code !== 'SQLITE_BUSY') throw error;
    const holder = await holderOf(dataPath);
    throw new DataDirectoryInUse(`another process${holder} is using it`, { cause: error });
  }
}

function openLockFile(path: string): Database.Database {
  try {
    return new Database(path, { timeout: settleMs });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`entrepot.lock cannot be opened: ${reason}`, { cause: error });
  }
}

/** Its number in brackets. Empty while it has not said who it is. */
async function holderOf(dataPath: string): Promise<string> {
  const pid = await readFile(join(dataPath, 'entrepot.pid'), 'utf8').catch(() => '');
  return /^\d{1,10}\n$/.test(pid) ? ` (${pid.trim()})` : '';
}
