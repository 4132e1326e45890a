import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot } from './support/entrepot.ts';
import { ask, Download } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { run } from './support/program.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;

/** A real file system of its own, of so many bytes. */
async function smallDisk(bytes: number): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'entrepot-disk-'));
  await run({ program: 'mount', args: ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path] });
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await run({ program: 'umount', args: [path] });
      await rm(path, { recursive: true });
    },
  };
}

test('a full disk: what has no room is passed through, new tags are answered, and the stop is a clean one', async () => {
  await using origin = await FakeRegistry.start();
  const large = await origin.addGeneratedBlob('library/app', 40 * MiB, 'larger than the disk');
  origin.addImage('library/app', '1.0', { layers: [randomBytes(1000)] });
  await using disk = await smallDisk(20 * MiB);
  const entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path });
  const blob = `${entrepot.url}/v2/library/app/blobs/${large.digest}`;
  for (let attempt = 0; attempt < 2; attempt++) expect(await new Download(blob).digest).toBe(large.digest);
  expect((await ask(blob, 'HEAD')).status).toBe(200);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/1.0`)).status).toBe(200);

  // Somebody else takes the last byte.
  await run({ program: 'sh', args: ['-c', `cat /dev/zero > ${disk.path}/somebody-elses || true`] });
  origin.addImage('library/app', '2.0', { layers: [randomBytes(1000)] });
  expect(await new Download(blob).digest).toBe(large.digest);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/1.0`)).status).toBe(200);
  expect([200, 503]).toContain((await ask(`${entrepot.url}/v2/library/app/manifests/2.0`)).status);
  await rm(join(disk.path, 'somebody-elses'));
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/2.0`)).status).toBe(200);
  await entrepot.stop();
  await entrepot[Symbol.asyncDispose]();
});
