import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Daemon, dockerIo } from '../support/daemon.ts';
import { type AddedImage, abuseLimitReached, FakeRegistry, Gate, pullLimitReached } from '../support/fake-registry.ts';

const tagPath = '/v2/library/app/manifests/1.0';

function addApp(origin: FakeRegistry, tag: string | undefined = '1.0'): AddedImage {
  return origin.addImage('library/app', tag, { layers: [randomBytes(50_000), randomBytes(70_000)] });
}

async function pullWhole(daemon: Daemon, image: AddedImage, name = 'library/app'): Promise<void> {
  for (const { digest } of [image.config, ...image.layers]) {
    const answer = await daemon.get(`/v2/${name}/blobs/${digest}`);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    // Readers have had the bytes before they are recorded.
    if (answer.headers.get('cache-status')?.includes('stored')) await daemon.stored(digest);
  }
}

test('a manifest comes with the exact bytes and headers of the upstream, and the second time from the cache', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token', cdn: true });
  const image = addApp(origin);
  await using daemon = await Daemon.start(origin.url);

  const first = await daemon.get(tagPath);
  expect(first.status).toBe(200);
  expect(Buffer.from(await first.arrayBuffer())).toEqual(image.bytes);
  expect(first.headers.get('docker-content-digest')).toBe(image.manifest.digest);
  expect(first.headers.get('etag')).toBe(`"${image.manifest.digest}"`);
  expect(first.headers.get('content-type')).toBe(image.manifest.mediaType);
  expect(first.headers.get('content-length')).toBe(String(image.bytes.length));
  expect(first.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  expect(first.headers.get('cache-status')).toBe('entrepot; fwd=miss; stored');

  const before = origin.requests.length;
  const second = await daemon.get(tagPath);
  expect(Buffer.from(await second.arrayBuffer())).toEqual(image.bytes);
  expect(second.headers.get('cache-status')).toBe('entrepot; hit');
  const head = await daemon.head(tagPath);
  expect(head.headers.get('content-length')).toBe(String(image.bytes.length));
  expect(head.headers.get('docker-content-digest')).toBe(image.manifest.digest);
  const byDigest = await daemon.get(`/v2/library/app/manifests/${image.manifest.digest}`);
  expect(Buffer.from(await byDigest.arrayBuffer())).toEqual(image.bytes);
  const conditional = await daemon.get(tagPath, { headers: { 'If-None-Match': `"${image.manifest.digest}"` } });
  expect(conditional.status).toBe(304);
  expect(origin.requests.length).toBe(before);
});

test('50 clients that ask for one cold tag at once cost one counted GET', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  addApp(origin);
  await using daemon = await Daemon.start(origin.url);
  const answers = await Promise.all(Array.from({ length: 50 }, () => daemon.get(tagPath)));
  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
  expect(origin.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
  const truths = answers.map(({ headers }) => headers.get('cache-status'));
  expect(truths.filter((truth) => truth === 'entrepot; fwd=miss; stored')).toHaveLength(1);
});

test('after its time an unchanged tag costs HEADs only: 50 pulls, still one GET since the beginning', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  for (let pull = 0; pull < 50; pull++) {
    const answer = await daemon.get(tagPath);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
  expect(origin.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
  expect(origin.count({ kind: 'manifest', method: 'HEAD', status: 200 })).toBe(49);
});

test('a tag that moved is switched to the new manifest after its time', async () => {
  await using origin = await FakeRegistry.start();
  addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  const moved = addApp(origin);
  const answer = await daemon.get(tagPath);
  expect(answer.headers.get('docker-content-digest')).toBe(moved.manifest.digest);
  expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=stale; fwd-status=200; stored');
});

test('a bare HEAD by an update checker does not cost the offline copy: tag moves, HEAD, upstream dies, old image served', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  const old = addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  await pullWhole(daemon, old);
  const moved = addApp(origin);
  expect((await daemon.head(tagPath)).headers.get('docker-content-digest')).toBe(moved.manifest.digest);

  await origin.kill();
  // Within tagTtl, too, the new digest is no use: its layers were never pulled.
  for (const tagTtl of ['0s', '1h']) {
    await daemon.reload(dockerIo(origin.url, { tagTtl }));
    const answer = await daemon.get(tagPath);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('docker-content-digest')).toBe(old.manifest.digest);
    expect(answer.headers.get('warning')).toMatch(/^299 - "/);
  }
  await pullWhole(daemon, old);
});

test('once the new image is complete, it and not the old one is what is served offline', async () => {
  await using origin = await FakeRegistry.start();
  const old = addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  await pullWhole(daemon, old);
  const moved = addApp(origin);
  await daemon.get(tagPath);
  await pullWhole(daemon, moved);
  await origin.kill();
  expect((await daemon.get(tagPath)).headers.get('docker-content-digest')).toBe(moved.manifest.digest);
});

test('an index that is complete for another platform only does not replace the one that was complete for this one', async () => {
  await using origin = await FakeRegistry.start();
  const [amd64, arm64] = [addApp(origin, undefined), addApp(origin, undefined)];
  const platform = (architecture: string) => ({ os: 'linux', architecture });
  const first = origin.addIndex('library/app', '1.0', [{ platform: platform('amd64'), image: amd64 }]);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  await daemon.get(`/v2/library/app/manifests/${amd64.manifest.digest}`);
  await pullWhole(daemon, amd64);

  const newAmd64 = addApp(origin, undefined);
  const second = origin.addIndex('library/app', '1.0', [
    { platform: platform('amd64'), image: newAmd64 },
    { platform: platform('arm64'), image: arm64 },
  ]);
  expect((await daemon.get(tagPath)).headers.get('docker-content-digest')).toBe(second.digest);
  await daemon.get(`/v2/library/app/manifests/${arm64.manifest.digest}`);
  await pullWhole(daemon, arm64);
  await origin.kill();
  expect((await daemon.get(tagPath)).headers.get('docker-content-digest')).toBe(first.digest);
});

test('HEAD answers and the GET of the new manifest fails with 500: the old digest stays', async () => {
  await using origin = await FakeRegistry.start();
  const old = addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  const moved = addApp(origin);
  const trouble = origin.faults.add({ when: { kind: 'manifest', method: 'GET' }, do: { kind: 'status', status: 500 } });
  const answer = await daemon.get(tagPath);
  expect(answer.headers.get('docker-content-digest')).toBe(old.manifest.digest);
  expect(answer.headers.get('warning')).toContain('299');
  expect(answer.headers.get('cache-status')).toBe('entrepot; fwd=stale; fwd-status=500');
  trouble.remove();
  expect((await daemon.get(tagPath)).headers.get('docker-content-digest')).toBe(moved.manifest.digest);
});

test.each([
  ['JSON', pullLimitReached({ 'Retry-After': '30' })],
  ['plain text', abuseLimitReached({ 'Retry-After': '30' })],
])(
  '429 in %s: the cached copy with a Warning, an honest 429 without one, and nobody asks upstream meanwhile',
  async (_, fault) => {
    await using origin = await FakeRegistry.start({ auth: 'token' });
    const image = addApp(origin);
    origin.addImage('library/cold', '1.0', { layers: [randomBytes(10)] });
    await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
    await daemon.get(tagPath);
    origin.faults.add({ when: { kind: 'manifest' }, do: fault });

    const cached = await daemon.get(tagPath);
    expect(cached.headers.get('docker-content-digest')).toBe(image.manifest.digest);
    expect(cached.headers.get('warning')).toMatch(/^299 - "/);
    expect(cached.headers.get('cache-status')).toBe('entrepot; fwd=stale; fwd-status=429');

    const asked = origin.count({ kind: 'manifest' });
    for (let attempt = 0; attempt < 5; attempt++) {
      const cold = await daemon.get('/v2/library/cold/manifests/1.0');
      expect(cold.status).toBe(429);
      expect(Number(cold.headers.get('retry-after'))).toBeGreaterThan(20);
      expect(((await cold.json()) as { errors: [{ code: string }] }).errors[0].code).toBe('TOOMANYREQUESTS');
    }
    expect(origin.count({ kind: 'manifest' })).toBe(asked);
  },
);

test('a tag that is gone upstream is not served from the cache', async () => {
  await using origin = await FakeRegistry.start();
  addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  origin.removeTag('library/app', '1.0');
  const answer = await daemon.get(tagPath);
  expect(answer.status).toBe(404);
  expect(((await answer.json()) as { errors: [{ code: string }] }).errors[0].code).toBe('MANIFEST_UNKNOWN');
});

test('a manifest whose bytes do not match its digest is refused and not stored', async () => {
  await using origin = await FakeRegistry.start();
  const image = addApp(origin);
  await using daemon = await Daemon.start(origin.url);
  const fault = origin.faults.add({ when: { kind: 'manifest', method: 'GET' }, do: { kind: 'flip-byte', atByte: 40 } });
  for (const reference of ['1.0', image.manifest.digest]) {
    expect((await daemon.get(`/v2/library/app/manifests/${reference}`)).status).toBe(502);
  }
  fault.remove();
  expect(Buffer.from(await (await daemon.get(tagPath)).arrayBuffer())).toEqual(image.bytes);
});

test('a token endpoint that fails does not take the cached copy away', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  const image = addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  origin.expireTokens();
  origin.faults.add({ when: { kind: 'token' }, do: { kind: 'status', status: 503 } });
  const answer = await daemon.get(tagPath);
  expect(answer.headers.get('docker-content-digest')).toBe(image.manifest.digest);
  expect(answer.headers.get('warning')).toContain('299');
});

test('it starts without an upstream and serves what it had; what it had not fails fast and clearly', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  const image = addApp(origin);
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await daemon.get(tagPath);
  await pullWhole(daemon, image);
  await origin.kill();
  await daemon.restart();

  const answer = await daemon.get(tagPath);
  expect(answer.headers.get('docker-content-digest')).toBe(image.manifest.digest);
  await pullWhole(daemon, image);
  const start = performance.now();
  const cold = await daemon.get('/v2/library/other/manifests/1.0');
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(cold.status).toBe(503);
  expect(cold.headers.get('retry-after')).toMatch(/^\d+$/);
  expect(await cold.json()).toMatchObject({ errors: [{ code: 'UNKNOWN' }] });
  const tags = await daemon.get('/v2/library/app/tags/list');
  expect(await tags.json()).toEqual({ name: 'library/app', tags: ['1.0'] });
  expect(tags.headers.get('warning')).toContain('299');
  expect(await (await daemon.get('/v2/_catalog')).json()).toEqual({ repositories: ['library/app'] });
});

test('an upstream that answers everything just in time: stale or an error within 10 s, however many asks it takes', {
  timeout: 30_000,
}, async () => {
  await using origin = await FakeRegistry.start();
  const old = addApp(origin);
  origin.addImage('library/cold', '1.0', { layers: [randomBytes(10)] });
  const settings = { tagTtl: '0s', username: 'mirror', password: 'hub-secret' };
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, settings));
  await daemon.get(tagPath);
  addApp(origin);
  for (const [method, milliseconds] of [
    ['HEAD', 3_500],
    ['GET', 7_500],
  ] as const) {
    const gate = new Gate();
    origin.faults.add({ when: { kind: 'manifest', method }, do: { kind: 'gate', gate } });
    void gate.reached.then(() => setTimeout(() => gate.open(), milliseconds));
  }
  const start = performance.now();
  const [known, cold] = await Promise.all([daemon.get(tagPath), daemon.get('/v2/library/cold/manifests/1.0')]);
  expect(performance.now() - start).toBeLessThan(10_000);
  expect(known.headers.get('docker-content-digest')).toBe(old.manifest.digest);
  expect(known.headers.get('warning')).toMatch(/^299 - "/);
  expect(cold.status).toBe(503);
  expect(cold.headers.get('retry-after')).toBe('1');
});

test('a manifest keeps the type that it states, however a registry labels it', async () => {
  await using origin = await FakeRegistry.start();
  const image = addApp(origin);
  await using daemon = await Daemon.start(origin.url);
  const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
  const label = origin.faults.add({ when: { kind: 'manifest' }, do: { kind: 'headers', headers } });
  for (let attempt = 0; attempt < 2; attempt++) {
    expect((await daemon.get(tagPath)).headers.get('content-type')).toBe(image.manifest.mediaType);
  }
  expect(label.hits).toBe(1);
});
