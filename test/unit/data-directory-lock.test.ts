import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DataDirectoryInUse, lockDataDirectory } from '../../src/ledger/data-directory-lock.ts';

async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'entrepot-lock-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Another process that takes the same lock in the same way, and says so. */
async function holder(dataPath: string): Promise<ChildProcess> {
  const program = `
    import Database from 'better-sqlite3';
    import { writeFileSync } from 'node:fs';
    const db = new Database(process.argv[1] + '/entrepot.lock');
    db.exec('BEGIN EXCLUSIVE');
    writeFileSync(process.argv[1] + '/entrepot.pid', process.pid + '\\n');
    console.log('locked');
    setInterval(() => db, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, dataPath], {
    cwd: join(import.meta.dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

test('a directory that another process has is refused with its number, and free once that is killed', async () => {
  await using data = await scratch();
  const other = await holder(data.path);
  try {
    const refused = await lockDataDirectory(data.path).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(DataDirectoryInUse);
    expect(String(refused)).toContain(`(${other.pid})`);
  } finally {
    other.kill('SIGKILL');
    await once(other, 'exit');
  }
  const lock = await lockDataDirectory(data.path);
  await lock.release();
});

test('a second lock in the same process is refused, and refusing it does not let the first one go', async () => {
  await using data = await scratch();
  const lock = await lockDataDirectory(data.path);
  for (let time = 0; time < 2; time++) {
    await expect(lockDataDirectory(data.path)).rejects.toThrow(`(${process.pid})`);
  }
  expect((await readdir(data.path)).sort()).toEqual(['entrepot.lock', 'entrepot.pid']);
  await lock.release();
  await lock.release();
  expect(await readdir(data.path)).toEqual(['entrepot.lock']);
  await (await lockDataDirectory(data.path)).release();
});

test('a directory where nothing can be made is another trouble than one in use', async () => {
  await using data = await scratch();
  const refused = await lockDataDirectory(join(data.path, 'missing')).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Error);
  expect(refused).not.toBeInstanceOf(DataDirectoryInUse);
});
