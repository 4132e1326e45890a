import { randomBytes } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ensureDirectory, syncDirectory } from '../ops/durable-files.ts';

/** What is kept here is nobody else's to read. */
export const ownerOnly = 0o600;

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

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
