import { mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A rename, and a new entry, are on disk only when the directory that holds them is. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Moves a file whose content is synced already; afterwards it survives a power loss under its new name. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await ensureDirectory(dirname(to));
  await rename(from, to);
  await syncDirectory(dirname(to));
}

/**
 * Makes the directory, and those above it, durably. Not by `mkdir` with `recursive`: in a place where nothing can be made, such
 * as /proc, that never returns, and on a read-only file system it blames a missing file. `mode` is for the directory itself.
 */
export async function ensureDirectory(path: string, mode?: number): Promise<void> {
  if (await makeDirectory(path, mode)) return;
  await ensureDirectory(dirname(path));
  if (!(await makeDirectory(path, mode))) throw new Error(`${path} cannot be made`);
}

/** False where the directory above is missing. */
async function makeDirectory(path: string, mode?: number): Promise<boolean> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' && dirname(path) !== path) return false;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return true;
    throw error;
  }
  await syncDirectory(dirname(path));
  return true;
}

/** Not there is an answer; anything else is trouble. */
export function unlessMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}
