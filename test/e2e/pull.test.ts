import { describe, expect, test } from 'vitest';
import { clients } from './support/clients/all.ts';
import { Entrepot } from './support/entrepot.ts';
import { ownLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { sharedSite } from './support/site.ts';
import { differences } from './support/tree.ts';

showLogsOfFailedTests();

const site = sharedSite();

describe.each(clients)('$client', ({ start }) => {
  test('pulls an image byte for byte, and the second time without a single request to the upstream', async () => {
    const { upstream } = site;
    const { app } = site.images;
    await using entrepot = await Entrepot.start({ upstream });
    await using client = await start(entrepot);
    upstream.forget();

    await client.pull(app.name);
    expect(differences(app.files, await client.files(app.name))).toEqual([]);
    for (const blob of [app.config, ...app.layers]) expect(upstream.downloads(blob.digest)).toHaveLength(1);

    await client.remove(app.name);
    upstream.forget();
    const before = entrepot.bytesFromCache;
    await client.pull(app.name);
    expect(upstream.requests).toEqual([]);
    expect(differences(app.files, await client.files(app.name))).toEqual([]);
    // Without this a client that had kept the layers would look like a cache that works.
    const layerBytes = app.layers.reduce((sum, layer) => sum + layer.size, 0);
    expect(entrepot.bytesFromCache - before).toBeGreaterThanOrEqual(layerBytes);
    expect(entrepot.complaints).toEqual([]);
  });

  test('pulls only its own platform of a multi-platform image', async () => {
    const { upstream } = site;
    const { amd64, arm64 } = site.images.multi;
    await using entrepot = await Entrepot.start({ upstream });
    await using client = await start(entrepot);
    upstream.forget();

    await client.pull(amd64.name);
    expect(differences(amd64.files, await client.files(amd64.name))).toEqual([]);
    for (const foreign of [arm64.manifest, arm64.config, ownLayer(arm64)]) {
      expect(upstream.requests.filter(({ path }) => path.endsWith(foreign.digest))).toEqual([]);
    }
    expect(entrepot.complaints).toEqual([]);
  });
});
