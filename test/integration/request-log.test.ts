import { expect, test } from 'vitest';
import { Daemon, dockerIo } from '../support/daemon.ts';
import { FakeRegistry, pullLimitReached } from '../support/fake-registry.ts';

test('the line of a request says why it failed, and why an answer is old', async () => {
  await using origin = await FakeRegistry.start();
  origin.addImage('library/app', ['1.0', '2.0'], { layers: [Buffer.from('layer')] });
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get('/v2/library/app/manifests/1.0');
  origin.faults.add({ when: { kind: 'manifest' }, do: pullLimitReached() });

  expect((await daemon.get('/v2/library/app/manifests/1.0')).status).toBe(200);
  await daemon.logged((line) => line['outcome'] === 'stale' && String(line['reason']).includes('answered 429'));
  expect((await daemon.get('/v2/library/app/manifests/2.0')).status).toBe(429);
  await daemon.logged((line) => line['outcome'] === 'rate-limited' && String(line['reason']).includes('answered 429'));
});

test('the line of a request names the client that a trusted proxy forwards for, and nobody else’s', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const headers = { 'X-Forwarded-For': '192.0.2.7' };
  await daemon.get('/v2/?direct', { headers });
  await daemon.logged((line) => line['msg'] === 'request' && line['client'] === '127.0.0.1');

  await daemon.reload({ listen: { host: '127.0.0.1', port: 0, trustedProxies: ['127.0.0.0/8'] } });
  await daemon.get('/v2/', { headers });
  await daemon.logged((line) => line['msg'] === 'request' && line['client'] === '192.0.2.7');
});
