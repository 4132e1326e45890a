import { randomBytes } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { StartupError, startService } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/load.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { createLogger } from '../../src/ops/logger.ts';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry, unusedPort } from '../support/fake-registry.ts';

const nowhere = createLogger({ level: 'error', format: 'json' }, new Writable({ write: (_, __, done) => done() }));

async function secondStart(daemon: Daemon, dataPath: string): Promise<void> {
  const file = join(daemon.root, 'second.config.json');
  const settings = JSON.parse(await readFile(join(daemon.root, 'mirror.config.json'), 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...settings, storage: { path: dataPath } }));
  const config = await loadConfig({ file, env: {} });
  if (!config.ok) throw new Error('the configuration of the first must do for the second');
  await startService(config.value, { log: nowhere });
}

async function isCleanlyStopped(dataPath: string): Promise<boolean> {
  const ledger = new SqliteLedger(join(dataPath, 'ledger.db'));
  const isClean = await ledger.takeCleanMark();
  ledger.close({ clean: isClean });
  return isClean;
}

test('a second daemon on a data directory is refused with one sentence, and leaves the first one alone', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const refused = expect(secondStart(daemon, daemon.dataPath)).rejects;
  await refused.toThrow(StartupError);
  await expect(secondStart(daemon, daemon.dataPath)).rejects.toThrow(
    `the data directory ${daemon.dataPath} cannot be used: another process (${process.pid}) is using it`,
  );
  expect((await daemon.get('/readyz')).status).toBe(200);
});

test('a start that fails for a port in use leaves the data directory as clean, or as unclean, as it was', async () => {
  await using origin = await FakeRegistry.start();
  const listen = { host: '127.0.0.1', port: await unusedPort() };
  await using daemon = await Daemon.start(origin.url, { listen });
  const [clean, unclean] = [join(daemon.root, 'clean'), join(daemon.root, 'unclean')];
  await using other = await Daemon.start(origin.url);
  // What a kill -9 would leave behind now.
  await cp(other.dataPath, unclean, { recursive: true, filter: (path) => !/\.(sock|new)$/.test(path) });
  await other.stop();
  await cp(other.dataPath, clean, { recursive: true });
  for (const dataPath of [clean, unclean]) {
    await expect(secondStart(daemon, dataPath)).rejects.toThrow(`port ${listen.port} is in use by another program`);
    await expect(secondStart(daemon, dataPath)).rejects.toThrow(StartupError);
  }
  expect(await isCleanlyStopped(clean)).toBe(true);
  expect(await isCleanlyStopped(unclean)).toBe(false);
});

test('a lost ledger costs no image: it is served without the upstream, and status says what is not known any more', async () => {
  await using origin = await FakeRegistry.start();
  const image = origin.addImage('library/app', '1.0', { layers: [randomBytes(100_000)] });
  await using daemon = await Daemon.start(origin.url);
  const paths = [
    '/v2/library/app/manifests/1.0',
    ...[image.config, ...image.layers].map(({ digest }) => `/v2/library/app/blobs/${digest}`),
  ];
  for (const path of paths) await (await daemon.get(path)).arrayBuffer();
  for (const { digest } of [image.config, ...image.layers]) await daemon.stored(digest);
  await daemon.stop();
  for (const suffix of ['', '-wal', '-shm']) await rm(join(daemon.dataPath, `ledger.db${suffix}`), { force: true });
  await origin.kill();

  await daemon.restart();
  for (const path of paths) expect((await daemon.get(path)).headers.get('cache-status')).toBe('entrepot; hit');
  expect(daemon.log).toContainEqual(
    expect.objectContaining({
      msg: 'the ledger was made anew',
      reason: 'ledger.db was not there',
      recovered: { blobs: 2, manifests: 1, tags: 1 },
    }),
  );
});
