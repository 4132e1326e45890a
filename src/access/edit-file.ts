import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fail, ok, type Result } from '../oci/result.ts';
import { ensureDirectory, syncDirectory, unlessMissing } from '../ops/durable-files.ts';
import { ownerOnly, temporaryFor } from './files.ts';

/** So often somebody else may be faster. */
const maxRounds = 10;

/**
 * Puts the file that `edit` makes of what is there in its place, durably and at once: whoever reads it sees the one or the
 * other. The file keeps its owner and mode; a new one is for its owner only, who is that of the directory. Undefined changes
 * nothing. Directories are made.
 *
 * @returns whether anything was written, or a sentence on why it could not be
 */
export async function editFile(
  path: string,
  edit: (content: string) => string | undefined,
): Promise<Result<boolean, string>> {
  try {
    for (let round = 0; round < maxRounds; round++) {
      const before = await read(path);
      const content = edit(before.content);
      if (content === undefined) return ok(false);
      if (await replace(before, content)) return ok(true);
    }
    return fail(`${path} keeps changing`);
  } catch (error) {
    return fail(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

interface Found {
  /** Behind links: a link stays one. */
  readonly path: string;
  readonly content: string;
  readonly stamp: string;
  /** Undefined where it is not there yet. */
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

async function read(path: string): Promise<Found> {
  const real = await realpath(path).catch(unlessMissing);
  const file = real === undefined ? undefined : await open(real, 'r').catch(unlessMissing);
  if (real === undefined || file === undefined) {
    return { path, content: '', stamp: 'missing', mode: undefined, uid: undefined, gid: undefined };
  }
  try {
    const { mode, uid, gid } = await file.stat();
    return { path: real, content: await file.readFile('utf8'), stamp: await stampOf(real), mode, uid, gid };
  } finally {
    await file.close();
  }
}

async function stampOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(unlessMissing);
  return found === undefined ? 'missing' : [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
}

/** False when somebody else has changed it since it was read. */
async function replace({ path, stamp, ...found }: Found, content: string): Promise<boolean> {
  const directory = dirname(path);
  await ensureDirectory(directory);
  const { uid, gid } = await stat(directory);
  const temporary = temporaryFor(path);
  try {
    const file = await open(temporary, 'wx', ownerOnly);
    try {
      await file.writeFile(content);
      await own(file, { uid: found.uid ?? uid, gid: found.gid ?? gid });
      if (found.mode !== undefined) await file.chmod(found.mode & 0o777);
      await file.sync();
    } finally {
      await file.close();
    }
    if ((await stampOf(path)) !== stamp) return false;
    await rename(temporary, path);
    await syncDirectory(directory);
    return true;
  } finally {
    await rm(temporary, { force: true });
  }
}

type Handle = Awaited<ReturnType<typeof open>>;

/** A daemon that runs as another user could not read the file any more: then it is better not written. */
async function own(file: Handle, { uid, gid }: { readonly uid: number; readonly gid: number }): Promise<void> {
  const now = await file.stat();
  if (now.uid === uid && now.gid === gid) return;
  try {
    await file.chown(uid, gid);
  } catch (error) {
    if (now.uid === uid) return;
    throw new Error(`it is for the user number ${uid}: run the command as that user, or as root`, { cause: error });
  }
}
