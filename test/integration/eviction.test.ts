import { randomBytes } from 'node:crypto';
import { readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { type AddedImage, FakeRegistry, Gate } from '../support/fake-registry.ts';

const kB = 1_000;

async function bytesOnDisk(daemon: Daemon): Promise<number> {
  const entries = await readdir(daemon.dataPath, { recursive: true, withFileTypes: true });
  const files = entries.filter(
    (entry) => entry.isFile() && /\/(blobs|partial|quarantine)(\/|$)/.test(`${entry.parentPath}/`),
  );
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** As a client with an empty disk does it. */
async function pullAll(daemon: Daemon, name: string, image: AddedImage): Promise<string[]> {
  const statuses = [cacheStatus(await daemon.get(`/v2/library/${name}/manifests/1.0`))];
  for (const { digest } of [image.config, ...image.layers]) {
    const response = await daemon.get(`/v2/library/${name}/blobs/${digest}`);
    statuses.push(cacheStatus(response));
    await response.arrayBuffer();
    if (response.headers.get('cache-status')?.includes('stored')) await daemon.stored(digest);
  }
  return statuses;
}

function cacheStatus(response: Response): string {
  return `${response.status} ${response.headers.get('cache-status') ?? ''}`;
}

function addImage(origin: FakeRegistry, name: string, layers: readonly Buffer[]): AddedImage {
  return origin.addImage(`library/${name}`, '1.0', { layers });
}

async function startWithCap(origin: FakeRegistry, maxSize: string, storage = {}): Promise<Daemon> {
  return Daemon.start(origin.url, { shutdownGrace: '0s', storage: { path: 'data', maxSize, minFree: 0, ...storage } });
}

test('the image used longest ago goes, the layer that it shares with another one stays', async () => {
  await using origin = await FakeRegistry.start();
  const base = randomBytes(300 * kB);
  const [old, hot, fresh] = ['old', 'hot', 'new'].map((name) => ({
    name,
    image: addImage(origin, name, [base, randomBytes(300 * kB)]),
  })) as [Named, Named, Named];
  await using daemon = await startWithCap(origin, '1MB');
  await pullAll(daemon, old.name, old.image);
  await pullAll(daemon, hot.name, hot.image);
  await daemon.head('/v2/library/hot/manifests/1.0');
  await pullAll(daemon, fresh.name, fresh.image);
  expect(await bytesOnDisk(daemon)).toBeLessThanOrEqual(1_000 * kB);

  await origin.kill();
  expect(await pullAll(daemon, hot.name, hot.image)).toEqual(Array(4).fill('200 entrepot; hit'));
  expect(await pullAll(daemon, fresh.name, fresh.image)).toEqual(Array(4).fill('200 entrepot; hit'));
  expect((await daemon.get('/v2/library/old/manifests/1.0')).status).toBe(503);
  // The base is still there, and served to whoever asks for it by whatever name.
  expect((await daemon.head(`/v2/library/old/blobs/${old.image.layers[0]!.digest}`)).status).toBe(200);
});

interface Named {
  readonly name: string;
  readonly image: AddedImage;
}

test('an index goes with everything of it, before the image used after it', async () => {
  await using origin = await FakeRegistry.start();
  const child = origin.addImage('library/multi', undefined, { layers: [randomBytes(400 * kB)] });
  origin.addIndex('library/multi', '1.0', [{ image: child, platform: { os: 'linux', architecture: 'amd64' } }]);
  const second = addImage(origin, 'second', [randomBytes(400 * kB)]);
  const third = addImage(origin, 'third', [randomBytes(400 * kB)]);
  await using daemon = await startWithCap(origin, '1MB');
  await daemon.get('/v2/library/multi/manifests/1.0');
  await daemon.get(`/v2/library/multi/manifests/${child.manifest.digest}`);
  await (await daemon.get(`/v2/library/multi/blobs/${child.layers[0]!.digest}`)).arrayBuffer();
  await daemon.stored(child.layers[0]!.digest);
  await pullAll(daemon, 'second', second);
  await pullAll(daemon, 'third', third);

  await origin.kill();
  expect(await pullAll(daemon, 'second', second)).toEqual(Array(3).fill('200 entrepot; hit'));
  expect((await daemon.get(`/v2/library/multi/manifests/${child.manifest.digest}`)).status).toBe(503);
});

test('what is too large for the cache is passed through, and makes nothing go', async () => {
  await using origin = await FakeRegistry.start();
  const small = addImage(origin, 'small', [randomBytes(100 * kB)]);
  const large = addImage(origin, 'large', [randomBytes(1_100 * kB)]);
  await using daemon = await startWithCap(origin, '1MB');
  await pullAll(daemon, 'small', small);
  expect(await pullAll(daemon, 'large', large)).toContain('200 entrepot; fwd=miss; detail=no-room');
  await origin.kill();
  expect(await pullAll(daemon, 'small', small)).toEqual(Array(3).fill('200 entrepot; hit'));
});

test('a pinned image is never evicted: what does not fit beside it is passed through', async () => {
  await using origin = await FakeRegistry.start();
  const kept = addImage(origin, 'kept', [randomBytes(600 * kB)]);
  const other = addImage(origin, 'other', [randomBytes(300 * kB)]);
  const large = addImage(origin, 'large', [randomBytes(600 * kB)]);
  const next = addImage(origin, 'next', [randomBytes(300 * kB)]);
  await using daemon = await startWithCap(origin, '1MB', { pins: ['kept:1.*'] });
  await pullAll(daemon, 'kept', kept);
  await pullAll(daemon, 'other', other);
  // Nothing goes for what would not fit beside the pinned one anyway.
  expect(await pullAll(daemon, 'large', large)).toContain('200 entrepot; fwd=miss; detail=no-room');
  expect(await pullAll(daemon, 'other', other)).toEqual(Array(3).fill('200 entrepot; hit'));
  expect(await pullAll(daemon, 'next', next)).not.toContain('200 entrepot; fwd=miss; detail=no-room');
  await origin.kill();
  expect(await pullAll(daemon, 'kept', kept)).toEqual(Array(3).fill('200 entrepot; hit'));
  expect(await pullAll(daemon, 'next', next)).toEqual(Array(3).fill('200 entrepot; hit'));
  expect((await daemon.get('/v2/library/other/manifests/1.0')).status).toBe(503);
});

test('pinned images that exceed the cap by themselves are warned about, and everything is still served', async () => {
  await using origin = await FakeRegistry.start();
  const kept = addImage(origin, 'kept', [randomBytes(600 * kB)]);
  const other = addImage(origin, 'other', [randomBytes(600 * kB)]);
  await using daemon = await startWithCap(origin, '1MB', { pins: ['kept'] });
  await pullAll(daemon, 'kept', kept);
  await daemon.restart({ storage: { path: 'data', maxSize: '500kB', minFree: 0, pins: ['kept'] } });
  await daemon.logged((line) => String(line['msg']).startsWith('pinned images alone exceed'));
  expect(await pullAll(daemon, 'kept', kept)).toEqual(Array(3).fill('200 entrepot; hit'));
  expect(await pullAll(daemon, 'other', other)).toContain('200 entrepot; fwd=miss; detail=no-room');
});

test('a cap that is lowered while running, or at a start, makes the oldest go', async () => {
  await using origin = await FakeRegistry.start();
  const images = ['one', 'two', 'three'].map((name) => ({
    name,
    image: addImage(origin, name, [randomBytes(300 * kB)]),
  }));
  await using daemon = await startWithCap(origin, '1MB');
  for (const { name, image } of images) await pullAll(daemon, name, image);
  await daemon.reload({ storage: { path: 'data', maxSize: '700kB', minFree: 0 } });
  await daemon.logged((line) => line['msg'] === 'evicted');
  expect(await bytesOnDisk(daemon)).toBeLessThanOrEqual(700 * kB);
  daemon.log.length = 0;
  await daemon.restart({ storage: { path: 'data', maxSize: '400kB', minFree: 0 } });
  await daemon.logged((line) => line['msg'] === 'evicted');
  await origin.kill();
  expect(await pullAll(daemon, 'three', images[2]!.image)).toEqual(Array(3).fill('200 entrepot; hit'));
});

test('what nobody pulled for longer than maxAge goes', async () => {
  await using origin = await FakeRegistry.start();
  const image = addImage(origin, 'app', [randomBytes(300 * kB)]);
  await using daemon = await startWithCap(origin, '1MB');
  await pullAll(daemon, 'app', image);
  await daemon.restart({ storage: { path: 'data', maxSize: '1MB', minFree: 0, maxAge: '1ms' } });
  await daemon.logged((line) => line['msg'] === 'evicted' && line['reason'] === 'age');
  await daemon.stop();
  expect(await bytesOnDisk(daemon)).toBe(0);
});

test('an interrupted download goes before any image does', async () => {
  await using origin = await FakeRegistry.start();
  const kept = addImage(origin, 'kept', [randomBytes(400 * kB)]);
  const broken = addImage(origin, 'broken', [randomBytes(400 * kB)]);
  const next = addImage(origin, 'next', [randomBytes(400 * kB)]);
  const gate = new Gate();
  const layer = broken.layers[0]!.digest;
  origin.faults.add({
    when: { kind: 'blob', reference: layer },
    do: { kind: 'gate', gate, afterBytes: 300 * kB },
  });
  await using daemon = await startWithCap(origin, '1MB');
  await pullAll(daemon, 'kept', kept);
  const cut = daemon.get(`/v2/library/broken/blobs/${layer}`).then((response) => response.arrayBuffer());
  cut.catch(() => undefined);
  const partial = join(daemon.dataPath, 'partial', layer.replace(':', '-'));
  await vi.waitFor(async () => expect((await stat(partial)).size).toBe(300 * kB));
  await daemon.restart();
  gate.open();
  await pullAll(daemon, 'next', next);
  expect(await readdir(join(daemon.dataPath, 'partial'))).toEqual([]);
  await origin.kill();
  expect(await pullAll(daemon, 'kept', kept)).toEqual(Array(3).fill('200 entrepot; hit'));
});

test('a blob that is being read stays until its reader has it', async () => {
  await using origin = await FakeRegistry.start();
  const slow = addImage(origin, 'slow', [randomBytes(30_000 * kB)]);
  const next = addImage(origin, 'next', [randomBytes(30_000 * kB)]);
  await using daemon = await startWithCap(origin, '50MB');
  await pullAll(daemon, 'slow', slow);
  const reading = await daemon.get(`/v2/library/slow/blobs/${slow.layers[0]!.digest}`);
  expect(await pullAll(daemon, 'next', next)).toContain('200 entrepot; fwd=miss; detail=no-room');
  expect((await reading.arrayBuffer()).byteLength).toBe(30_000 * kB);
});

test('a file that becomes shorter while it is served cuts the response, and is fetched anew for the next one', async () => {
  await using origin = await FakeRegistry.start();
  const image = addImage(origin, 'app', [randomBytes(40_000 * kB)]);
  const { digest } = image.layers[0]!;
  await using daemon = await startWithCap(origin, '100MB');
  await pullAll(daemon, 'app', image);
  const hex = digest.slice('sha256:'.length);
  const response = await daemon.get(`/v2/library/app/blobs/${digest}`);
  await truncate(join(daemon.dataPath, 'blobs/sha256', hex.slice(0, 2), hex), 30_000 * kB);
  await expect(response.arrayBuffer()).rejects.toThrow();
  origin.resetCounters();
  const again = await daemon.get(`/v2/library/app/blobs/${digest}`);
  expect((await again.arrayBuffer()).byteLength).toBe(40_000 * kB);
  expect(origin.count({ kind: 'blob', reference: digest })).toBe(1);
  expect(await readdir(join(daemon.dataPath, 'quarantine'))).toEqual([`sha256-${hex}`]);
});

test('a start with strays among partial and quarantined files counts what it knows, and ends cleanly', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await startWithCap(origin, '1MB');
  await daemon.stop();
  await writeFile(join(daemon.dataPath, 'partial', 'README'), 'mine');
  await daemon.restart();
  await pullAll(daemon, 'app', addImage(origin, 'app', [randomBytes(100 * kB)]));
});

test('with a scrub rate, content that was damaged on disk is found in the background, set aside and named', async () => {
  await using origin = await FakeRegistry.start();
  const image = addImage(origin, 'app', [randomBytes(100 * kB)]);
  await using daemon = await startWithCap(origin, '1MB');
  await pullAll(daemon, 'app', image);
  await daemon.stop();
  const { digest } = image.layers[0]!;
  const hex = digest.slice('sha256:'.length);
  await writeFile(join(daemon.dataPath, 'blobs/sha256', hex.slice(0, 2), hex), randomBytes(100 * kB));
  await daemon.restart({ storage: { path: 'data', maxSize: '1MB', scrubRate: '10MB' } });
  await daemon.logged((line) => line['msg'] === 'damaged content was set aside');
  expect(daemon.log).toContainEqual(
    expect.objectContaining({
      digest,
      reason: 'wrong-content',
      images: ['docker.io/library/app:1.0'],
      repaired: false,
    }),
  );
  expect(await readdir(join(daemon.dataPath, 'quarantine'))).toEqual([`sha256-${hex}`]);
  const again = await daemon.get(`/v2/library/app/blobs/${digest}`);
  expect(Buffer.from(await again.arrayBuffer()).length).toBe(100 * kB);
  expect(again.headers.get('cache-status')).toBe('entrepot; fwd=miss; stored');
});
