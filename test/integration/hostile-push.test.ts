import { expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { storm } from '../support/storm.ts';

const seed = 20_261_121;
/** Beside other tests; 100,000 take a minute and a half by themselves. */
const count = Number(process.env['ENTREPOT_MUTATIONS'] ?? 10_000);

test(`${count} spoilt requests of a push: each refused with a clear error, no hang, nothing private told upstream`, {
  timeout: 600_000,
}, async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url, { access: { anonymous: { pull: true, push: true } } });
  const { findings } = await storm({ url: daemon.url, repository: 'local/a', other: 'local/b', seed, count });
  expect(findings).toEqual([]);
  expect(origin.requests.filter(({ repository }) => repository?.startsWith('local/'))).toEqual([]);
  expect(daemon.log.filter(({ level }) => level === 'error' || level === 50)).toEqual([]);
});
