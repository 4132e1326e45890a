import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { StartupError, startService } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/load.ts';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { createLogger } from '../../src/ops/logger.ts';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry, unusedPort } from '../support/fake-registry.ts';

test('a start that fails for a port in use does not call the running one cleanly stopped', async () => {
  await using origin = await FakeRegistry.start();
  const listen = { host: '127.0.0.1', port: await unusedPort() };
  await using daemon = await Daemon.start(origin.url, { listen });
  const config = await loadConfig({ file: join(daemon.root, 'mirror.config.json'), env: {} });
  if (!config.ok) throw new Error('the configuration of the first must do for the second');
  const nowhere = createLogger({ level: 'error', format: 'json' }, new Writable({ write: (_, __, done) => done() }));
  await expect(startService(config.value, nowhere)).rejects.toThrow(StartupError);

  // What a kill -9 of the first one would leave behind now.
  const left = join(daemon.root, 'left');
  await cp(daemon.dataPath, left, { recursive: true });
  const ledger = new SqliteLedger(join(left, 'ledger.db'));
  expect(await ledger.takeCleanMark()).toBe(false);
  ledger.close({ clean: false });
});
