import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { Books } from '../support/books.ts';

/** Part of util-linux. */
const limiter = 'prlimit';

test.skipIf(!canLimitFileSizes())(
  'a write that fails half-way, as on a full disk, leaves nothing uncounted',
  async () => {
    const root = await mkdtemp(join(tmpdir(), 'entrepot-store-'));
    try {
      const bytes = Buffer.alloc(120_000, 'x');
      const digest = digestOf(bytes);
      const budget = new Budget(1_000_000);
      const store = await DiskBlobStore.open(root, budget);
      {
        await using writer = await store.begin(digest);
        expect(await writer.reserve(bytes.length)).toBe(true);
        await writer.append(bytes.subarray(0, 60_000));
        limitFileSizes('100000');
        await expect(
          writer.append(bytes.subarray(60_000)).finally(() => limitFileSizes('unlimited')),
        ).rejects.toThrow();
      }
      expect(budget.taken).toBe(await partialBytes(root));

      await using next = await store.begin(digest);
      while (await next.replay());
      await next.append(bytes.subarray(next.written));
      expect(next.verify()).toBe(true);
      await next.commit(new Books().cached(digest, bytes.length));
      expect(budget.taken).toBe(bytes.length);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  },
);

test.skipIf(process.platform !== 'linux')(
  'a place where no directory can be made is an error, not a hang',
  async () => {
    await expect(DiskBlobStore.open('/proc/entrepot/data', new Budget(1))).rejects.toThrow('cannot be made');
  },
);

/** The soft limit of this process; the kernel then fails writes beyond it as it does those to a full disk. */
function limitFileSizes(bytes: string): void {
  execFileSync(limiter, ['--pid', String(process.pid), `--fsize=${bytes}:`]);
}

function canLimitFileSizes(): boolean {
  try {
    limitFileSizes('unlimited');
    return true;
  } catch {
    return false;
  }
}

async function partialBytes(root: string): Promise<number> {
  const sizes = (await readdir(join(root, 'partial'))).map(
    async (name) => (await stat(join(root, 'partial', name))).size,
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
