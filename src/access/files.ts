import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What is kept here is nobody else's to read. */
export const ownerOnly = 0o600;
const directoryMode = 0o755;

/** Puts the bytes there, durably and at once, unless there is something already. */
export async function placeFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = temporaryFor(path);
  await ensureDirectory(dirname(path));
  try {
    const file = await open(temporary, 'wx', ownerOnly);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(path));
}

export function temporaryFor(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}

/** Not by `mkdir` with `recursive`, which never returns where nothing can be made, such as in /proc. */
export async function ensureDirectory(path: string): Promise<void> {
  const code = await makeDirectory(path);
  if (code === 'EEXIST' || code === undefined) return;
  await ensureDirectory(dirname(path));
  await makeDirectory(path);
}

/** Undefined when it was made; throws for anything but a directory that is there or one above that is not. */
async function makeDirectory(path: string): Promise<'EEXIST' | 'ENOENT' | undefined> {
  try {
    await mkdir(path, directoryMode);
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' || (code === 'ENOENT' && dirname(path) !== path)) return code;
    throw error;
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Not there is an answer; anything else is trouble. */
export function unlessMissing(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined;
  throw error;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
