import { afterEach, describe, expect, test } from 'vitest';
import { clients } from './support/clients/all.ts';
import { startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { ask } from './support/http.ts';
import { largestLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { until } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';
import { differences } from './support/tree.ts';

showLogsOfFailedTests();

const clearErrorMs = 5_000;
const staleMs = 10_000;

const site = sharedSite();
afterEach(async () => {
  await site.upstream.kill();
  await site.upstream.revive();
});

describe.each(clients)('$client', ({ start }) => {
  test('gets a cached image while the upstream is dead, also after a restart of the mirror', async () => {
    const { upstream } = site;
    const { app } = site.images;
    // Soon stale, so that the dead upstream would really be asked.
    await using entrepot = await Entrepot.start({ upstream, tagTtl: '1s' });
    await using client = await start(entrepot);
    await client.pull(app.name);
    await client.remove(app.name);
    await upstream.kill();

    await client.pull(app.name);
    expect(differences(app.files, await client.files(app.name))).toEqual([]);
    await client.remove(app.name);

    await entrepot.restart();
    await client.pull(app.name);
    expect(differences(app.files, await client.files(app.name))).toEqual([]);
  });
});

test('a tag that outlived its time is served with a warning while the upstream is dead', async () => {
  const { upstream } = site;
  const { app } = site.images;
  await using entrepot = await Entrepot.start({ upstream, tagTtl: '1s' });
  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(app.name);
  await upstream.kill();

  const tag = `${entrepot.url}/v2/library/app/manifests/1.0`;
  await until('the stale tag comes with a warning', staleMs, async () => {
    const answer = await ask(tag, 'HEAD');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('docker-content-digest')).toBe(app.manifest.digest);
    return answer.headers.get('warning')?.startsWith('299 ') === true;
  });
});

test('the mirror starts without its upstream, and what is not cached fails soon and clearly', async () => {
  const { upstream } = site;
  const { app } = site.images;
  await upstream.kill();
  await using entrepot = await Entrepot.start({ upstream });

  for (const path of ['manifests/1.0', `manifests/${app.manifest.digest}`, `blobs/${largestLayer(app).digest}`]) {
    const answer = await ask(`${entrepot.url}/v2/library/app/${path}`);
    expect(answer.tookMs).toBeLessThan(clearErrorMs);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.error?.code).toBe('UNKNOWN');
    // It has to say who could not be asked.
    expect(answer.error?.message).toMatch(/upstream|docker\.io|127\.0\.0\.1/);
  }

  await using skopeo = await startSkopeo(entrepot);
  const began = performance.now();
  await expect(skopeo.pull(app.name)).rejects.toThrow(/503|unknown/i);
  expect(performance.now() - began).toBeLessThan(clearErrorMs);
});

test('an upstream that comes back is used again without a restart', async () => {
  const { upstream } = site;
  const { app } = site.images;
  await upstream.kill();
  await using entrepot = await Entrepot.start({ upstream });
  await using skopeo = await startSkopeo(entrepot);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/1.0`)).status).toBe(503);

  await upstream.revive();
  const backMs = 60_000;
  await until('the mirror asks the upstream again', backMs, async () => {
    return (await ask(`${entrepot.url}/v2/library/app/manifests/1.0`, 'HEAD')).status === 200;
  });
  await skopeo.pull(app.name);
  expect(differences(app.files, await skopeo.files(app.name))).toEqual([]);
});
