import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { repositoryNamed } from '../contract/words.ts';
import { Daemon, dockerIo } from '../support/daemon.ts';
import { FakeRegistry, Gate } from '../support/fake-registry.ts';

const account = { username: 'mirror', password: 'hub-secret' };

function startOrigin(): Promise<FakeRegistry> {
  return FakeRegistry.start({
    auth: 'token',
    users: { mirror: 'hub-secret' },
    privateRepositories: ['team/secret'],
    cdn: true,
  });
}

test('an image of a private repository is not to be had by digest through any other repository', async () => {
  await using origin = await startOrigin();
  const secret = origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  origin.addImage('library/app', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(
    origin.url,
    dockerIo(origin.url, { ...account, privateRepositories: 'anyone' }),
  );
  expect((await daemon.get('/v2/team/secret/manifests/1.0')).status).toBe(200);
  const [layer] = secret.layers;
  expect((await (await daemon.get(`/v2/team/secret/blobs/${layer!.digest}`)).arrayBuffer()).byteLength).toBe(5000);
  await daemon.stored(layer!.digest);

  for (const name of ['library/app', 'docker.io/library/app', 'team/other']) {
    for (const path of [
      `blobs/${layer!.digest}`,
      `blobs/${secret.manifest.digest}`,
      `manifests/${secret.manifest.digest}`,
    ]) {
      for (const method of ['GET', 'HEAD']) {
        expect((await daemon.get(`/v2/${name}/${path}`, { method })).status, `${method} ${name}/${path}`).toBe(404);
      }
    }
  }
  // A manifest that merely names the layer proves nothing.
  origin.addManifest(
    'library/app',
    {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: secret.config,
      layers: secret.layers,
    },
    { tags: 'thief' },
  );
  expect((await daemon.get('/v2/library/app/manifests/thief')).status).toBe(200);
  expect((await daemon.get(`/v2/library/app/blobs/${layer!.digest}`)).status).toBe(404);

  await origin.kill();
  expect((await daemon.get(`/v2/team/secret/blobs/${layer!.digest}`)).status).toBe(200);
  expect((await daemon.get(`/v2/library/app/blobs/${layer!.digest}`)).status).toBe(503);
});

test('by default what only the account can read is not for anonymous clients; what anyone can read still is', async () => {
  await using origin = await startOrigin();
  const secret = origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  const app = origin.addImage('library/app', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, account));
  for (const path of [
    'manifests/1.0',
    `manifests/${secret.manifest.digest}`,
    `blobs/${secret.layers[0]!.digest}`,
    'tags/list',
  ]) {
    const answer = await daemon.get(`/v2/team/secret/${path}`);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ errors: [{ code: 'DENIED' }] });
  }
  // Nothing of the account's quota was spent on them.
  expect(origin.count({ kind: 'manifest', user: 'mirror' })).toBe(0);

  expect((await daemon.get('/v2/library/app/manifests/1.0')).status).toBe(200);
  expect((await daemon.get(`/v2/library/app/blobs/${app.layers[0]!.digest}`)).status).toBe(200);
  expect(origin.count({ kind: 'manifest', user: 'mirror', method: 'GET', status: 200 })).toBe(1);
  expect(await (await daemon.get('/v2/_catalog')).json()).toEqual({ repositories: ['library/app'] });
});

test('a repository that was fetched for anyone is closed again when the configuration says so', async () => {
  await using origin = await startOrigin();
  const secret = origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(
    origin.url,
    dockerIo(origin.url, { ...account, privateRepositories: 'anyone' }),
  );
  await daemon.get('/v2/team/secret/manifests/1.0');
  await (await daemon.get(`/v2/team/secret/blobs/${secret.layers[0]!.digest}`)).arrayBuffer();
  await daemon.stored(secret.layers[0]!.digest);
  for (const settings of [account, {}]) {
    await daemon.reload(dockerIo(origin.url, { ...settings, tagTtl: '1h' }));
    for (const path of ['manifests/1.0', `manifests/${secret.manifest.digest}`, `blobs/${secret.layers[0]!.digest}`]) {
      expect((await daemon.get(`/v2/team/secret/${path}`)).status).toBe(403);
    }
    expect(await (await daemon.get('/v2/_catalog')).json()).toEqual({ repositories: [] });
  }
});

test('public content is a hit for every repository without asking, private content only after the upstream vouched for it', async () => {
  await using origin = await startOrigin();
  const layer = randomBytes(5000);
  const app = origin.addImage('library/app', '1.0', { layers: [layer] });
  const { digest } = app.layers[0]!;
  await using daemon = await Daemon.start(origin.url);
  await (await daemon.get(`/v2/library/app/blobs/${digest}`)).arrayBuffer();
  await daemon.stored(digest);
  const asked = origin.requests.length;
  expect((await daemon.get(`/v2/some/other/blobs/${digest}`)).headers.get('cache-status')).toBe('entrepot; hit');
  expect(origin.requests.length).toBe(asked);
});

test('the second origin never sees Authorization, and no secret reaches the log', async () => {
  await using origin = await startOrigin();
  const app = origin.addImage('library/app', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, account));
  await daemon.get('/v2/library/app/manifests/1.0');
  await (await daemon.get(`/v2/library/app/blobs/${app.layers[0]!.digest}`)).arrayBuffer();
  expect(origin.count({ kind: 'cdn' })).toBe(1);
  expect(origin.count({ kind: 'cdn', scheme: 'none' })).toBe(1);
  const log = JSON.stringify(daemon.log);
  expect(log).toContain('library/app');
  expect(log).not.toMatch(/hub-secret|Bearer|Basic [A-Za-z0-9+/]{8}/);
  for (const { headers } of origin.requests) {
    const token = /^Bearer (.+)$/.exec(String(headers['authorization']))?.[1];
    if (token !== undefined) expect(log).not.toContain(token);
  }
});

test('every request leaves one line that tells what happened', async () => {
  await using origin = await startOrigin();
  const app = origin.addImage('library/app', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(origin.url);
  await (await daemon.get(`/v2/library/app/blobs/${app.layers[0]!.digest}`)).arrayBuffer();
  await daemon.logged(({ msg }) => msg === 'request');
  expect(daemon.log.find(({ msg }) => msg === 'request')).toMatchObject({
    requestId: expect.any(String) as string,
    client: '127.0.0.1',
    method: 'GET',
    status: 200,
    repository: 'docker.io/library/app',
    reference: app.layers[0]!.digest,
    outcome: 'miss',
    bytes: 5000,
    milliseconds: expect.any(Number) as number,
    upstreamMilliseconds: expect.any(Number) as number,
  });
});

test.each([
  ['before the headers', { kind: 'gate' }, undefined],
  ['before the first byte', { kind: 'gate', afterBytes: 0 }, 200],
] as const)('the line of a client that left %s says so, and claims no byte', async (_, fault, status) => {
  await using origin = await FakeRegistry.start();
  const { digest } = origin.addBlob('library/app', randomBytes(5000));
  await using daemon = await Daemon.start(origin.url);
  const gate = new Gate();
  origin.faults.add({ when: { kind: 'blob' }, do: { ...fault, gate } });
  const left = new AbortController();
  const asked = daemon.get(`/v2/library/app/blobs/${digest}`, { signal: left.signal });
  await gate.reached;
  if (status !== undefined) expect((await asked).status).toBe(status);
  left.abort();
  await asked.catch(() => undefined);
  await daemon.logged(({ msg }) => msg === 'request');
  gate.open();
  const line = daemon.log.find(({ msg }) => msg === 'request');
  expect(line).toMatchObject({ client: '127.0.0.1', outcome: 'client-left', bytes: 0, cut: true });
  expect(line?.['status']).toBe(status);
});

test('a repository that was seen public by a clock that ran ahead is looked at again', async () => {
  await using origin = await startOrigin();
  origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, account));
  await daemon.stop();
  const ledger = new SqliteLedger(join(daemon.dataPath, 'ledger.db'));
  await ledger.setVisibility(repositoryNamed('docker.io/team/secret'), true, Date.now() + 3_600_000);
  ledger.close({ clean: true });
  await daemon.restart();
  expect((await daemon.get('/v2/team/secret/manifests/1.0')).status).toBe(403);
});
