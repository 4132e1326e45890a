import { expect, test } from 'vitest';
import { startDockerd } from './support/clients/dockerd.ts';
import { startPodman } from './support/clients/podman.ts';
import { startSkopeo } from './support/clients/skopeo.ts';
import { CountingProxy, downloadOf } from './support/counting-proxy.ts';
import { Entrepot } from './support/entrepot.ts';
import { largestLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { freePort, until } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';
import { differences } from './support/tree.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;
const gatherMs = 30_000;

const site = sharedSite();

test('three clients that pull one cold image at the same time cost one download of each blob', async () => {
  const { upstream } = site;
  const { app } = site.images;
  const large = largestLayer(app);
  expect(large.size).toBeGreaterThan(20 * MiB);
  await using entrepot = await Entrepot.start({ upstream });
  // Between the clients and the mirror, to see when all of them are waiting for the same blob.
  await using front = new CountingProxy({ at: 'mirror', port: await freePort(), targetPort: entrepot.port });
  await front.start();
  await using dockerd = await startDockerd(front);
  await using podman = await startPodman(front);
  await using skopeo = await startSkopeo(front);
  upstream.forget();

  const crowd = [dockerd, podman, skopeo];
  using gate = upstream.hold(large.digest, MiB);
  const pulls = Promise.all(crowd.map((client) => client.pull(app.name)));
  const gathered = until('three clients wait for the large layer', gatherMs, () => {
    return front.requests.filter(downloadOf(large.digest)).length === crowd.length;
  });
  await Promise.race([gathered, pulls]);
  await gathered;
  gate.open();
  await pulls;

  for (const blob of [app.config, ...app.layers]) expect(upstream.downloads(blob.digest)).toHaveLength(1);
  const manifestReads = upstream.requests.filter(({ method, path, status }) => {
    return method === 'GET' && path.startsWith('/v2/library/app/manifests/') && status === 200;
  });
  expect(manifestReads).toHaveLength(1);
  for (const client of crowd) expect(differences(app.files, await client.files(app.name))).toEqual([]);
  expect(entrepot.complaints).toEqual([]);
});
