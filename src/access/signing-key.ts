import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from '../ops/durable-files.ts';
import { placeFile } from './files.ts';

const keyBytes = 32;

/**
 * What bearer tokens are signed with: `token.key` in the data directory, made on first need. Where that cannot be, a key of this
 * process: tokens then last until it ends, which costs clients no more than asking for another.
 */
export async function loadSigningKey(dataPath: string, onTrouble: (message: string) => void): Promise<Uint8Array> {
  const path = join(dataPath, 'token.key');
  try {
    const found = await readFile(path).catch(unlessMissing);
    if (found?.length === keyBytes) return found;
    if (found !== undefined) throw new Error(`it has ${found.length} bytes instead of ${keyBytes}; remove it`);
    const made = randomBytes(keyBytes);
    // Somebody else may have been faster: then theirs it is.
    await placeFile(path, made);
    return await readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    onTrouble(`${path} cannot be used, so tokens are worthless after a restart: ${reason}`);
    return randomBytes(keyBytes);
  }
}
