import { once } from 'node:events';
import { createConnection } from 'node:net';
import { expect, test } from 'vitest';
import { startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { Download } from './support/http.ts';
import { largestLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { answers, until } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';
import { differences } from './support/tree.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;
const noticeMs = 5_000;
const promptMs = 5_000;

const site = sharedSite();

test('kill -9 in the middle of a layer: after the restart only the rest is fetched, and the pull is complete', async () => {
  const { upstream } = site;
  const { app } = site.images;
  const large = largestLayer(app);
  await using entrepot = await Entrepot.start({ upstream });
  await using skopeo = await startSkopeo(entrepot);
  upstream.forget();

  using gate = upstream.hold(large.digest, 8 * MiB);
  const download = new Download(`${entrepot.url}/v2/library/app/blobs/${large.digest}`);
  await gate.reached;
  await download.hasReceived(4 * MiB);
  await entrepot.kill9();
  await expect(download.digest).rejects.toThrow();
  gate.open();

  await entrepot.restart();
  await skopeo.pull(app.name);
  expect(differences(app.files, await skopeo.files(app.name))).toEqual([]);
  const [, resumed, ...more] = upstream.downloads(large.digest);
  expect(more).toEqual([]);
  expect(resumed?.status).toBe(206);
  const from = Number(/^bytes=(\d+)-/.exec(resumed?.range ?? '')?.[1]);
  expect(from).toBeGreaterThan(0);
  expect(resumed?.bytes).toBe(large.size - from);
});

test('a client that leaves in the middle of a layer does not stop its download', async () => {
  const { upstream } = site;
  const { app } = site.images;
  const large = largestLayer(app);
  await using entrepot = await Entrepot.start({ upstream });
  upstream.forget();

  const url = `${entrepot.url}/v2/library/app/blobs/${large.digest}`;
  using gate = upstream.hold(large.digest, 8 * MiB);
  const leaving = new Download(url);
  await gate.reached;
  await leaving.hasReceived(4 * MiB);
  leaving.abort();
  await expect(leaving.digest).rejects.toThrow();
  gate.open();
  await until('the download is complete', noticeMs, () => upstream.downloads(large.digest)[0]?.done === true);

  await expect(new Download(url).digest).resolves.toBe(large.digest);
  expect(upstream.downloads(large.digest)).toHaveLength(1);
});

test('SIGTERM lets a transfer under way come to its end, and the exit code is 0', async () => {
  const { upstream } = site;
  const large = largestLayer(site.images.app);
  await using entrepot = await Entrepot.start({ upstream });

  using gate = upstream.hold(large.digest, 4 * MiB);
  const download = new Download(`${entrepot.url}/v2/library/app/blobs/${large.digest}`);
  await gate.reached;
  await download.hasReceived(MiB);
  const exited = entrepot.terminate();
  await until('the mirror takes no more work', noticeMs, async () => !(await answers(`${entrepot.url}/readyz`)));
  gate.open();

  await expect(download.digest).resolves.toBe(large.digest);
  expect((await exited).code).toBe(0);
});

test('SIGTERM does not wait for a connection on which nothing was asked', async () => {
  await using entrepot = await Entrepot.start({ upstream: site.upstream });
  const silent = createConnection(entrepot.port, '127.0.0.1');
  await once(silent, 'connect');
  // The other end may well reset it.
  silent.on('error', () => undefined);
  const began = performance.now();
  await entrepot.stop();
  expect(performance.now() - began).toBeLessThan(promptMs);
  silent.destroy();
});
