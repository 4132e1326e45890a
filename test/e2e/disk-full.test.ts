import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { FakeRegistry, Gate } from '../support/fake-registry.ts';
import { FreeSpaceWatch, SmallDisk } from './support/disk.ts';
import { Entrepot } from './support/entrepot.ts';
import { type FleetImage, publishFleet, pullEverything } from './support/fleet.ts';
import { ask, Download } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { until } from './support/scratch.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;
const noticeMs = 30_000;

test('a full disk: what has no room is passed through, new tags are answered, and the stop is a clean one', async () => {
  await using origin = await FakeRegistry.start();
  const large = await origin.addGeneratedBlob('library/app', 40 * MiB, 'larger than the disk');
  origin.addImage('library/app', '1.0', { layers: [randomBytes(1000)] });
  await using disk = await SmallDisk.create(20 * MiB);
  await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path });
  const blob = `${entrepot.url}/v2/library/app/blobs/${large.digest}`;
  for (let attempt = 0; attempt < 2; attempt++) expect(await new Download(blob).digest).toBe(large.digest);
  expect((await ask(blob, 'HEAD')).status).toBe(200);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/1.0`)).status).toBe(200);

  await disk.fill();
  origin.addImage('library/app', '2.0', { layers: [randomBytes(1000)] });
  expect(await new Download(blob).digest).toBe(large.digest);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/1.0`)).status).toBe(200);
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/2.0`)).status).toBe(200);
  await disk.makeRoom();
  expect((await ask(`${entrepot.url}/v2/library/app/manifests/2.0`)).status).toBe(200);
  await entrepot.stop();
});

test.each([
  { there: 'images that can go', evictable: 3 },
  { there: 'nothing that can go', evictable: 0 },
])('the disk fills up in the middle of a layer, with $there: the transfer goes on and is right', async (given) => {
  await using origin = await FakeRegistry.start();
  const sizes = { baseSizes: [MiB], ownSize: () => 8 * MiB };
  const before = await publishFleet(origin, { name: 'before', count: given.evictable, ...sizes });
  const [during] = await publishFleet(origin, { name: 'during', count: 1, ...sizes });
  const after = await publishFleet(origin, { name: 'after', count: 3, ...sizes });
  const large = await origin.addGeneratedBlob('library/large', 20 * MiB, 'fills the disk');
  await using disk = await SmallDisk.create(64 * MiB);
  await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path });
  for (const image of before) await pullEverything(entrepot.url, image);

  const gate = new Gate();
  const fault = { kind: 'gate', gate, afterBytes: 8 * MiB } as const;
  origin.faults.add({ when: { kind: 'blob', reference: large.digest }, times: 1, do: fault });
  const download = new Download(`${entrepot.url}/v2/library/large/blobs/${large.digest}`);
  await gate.reached;
  await download.hasReceived(4 * MiB);
  await disk.fill();
  gate.open();
  expect(await download.digest).toBe(large.digest);

  // Whether stored or passed through, whoever asks gets it.
  await pullEverything(entrepot.url, during!);
  const whileFull = await storedAfter(entrepot, origin, during!);
  await disk.makeRoom();
  await until('content is stored again', noticeMs, async () => storedAfter(entrepot, origin, after[0]!));
  for (const image of after.slice(1)) expect(await storedAfter(entrepot, origin, image), image.name).toBe(true);

  await entrepot.restart();
  await origin.kill();
  const listed = (await entrepot.images()).filter(({ complete }) => complete).map(({ digest }) => digest);
  for (const image of after) {
    expect(listed, image.name).toContain(image.manifest);
    await pullEverything(entrepot.url, image);
  }
  console.log(
    `disk full in mid-fill, ${given.evictable} images to evict: while it was full a new image was ` +
      `${whileFull ? 'stored' : 'passed through'}; after room was made ${listed.length} images are complete`,
  );
});

test.each([
  { there: 'images that can go', pins: [] },
  { there: 'nothing but pinned images', pins: ['**'] },
])(
  'a disk that was filled right after a start, with $there: every pull is answered, and storing goes on',
  async ({ pins }) => {
    await using origin = await FakeRegistry.start();
    const sizes = { baseSizes: [MiB], ownSize: () => MiB };
    const before = await publishFleet(origin, { name: 'before', count: 4, ...sizes });
    const during = await publishFleet(origin, { name: 'during', count: 2, ...sizes });
    await using disk = await SmallDisk.create(24 * MiB);
    const storage = { pins };
    await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path, storage });
    for (const image of before) await pullEverything(entrepot.url, image);
    // A ledger that has just been opened has no room of its own to write into.
    await entrepot.restart();
    await entrepot.status();
    await disk.fill();
    for (const image of before) await pullEverything(entrepot.url, image);
    for (const image of during) await pullEverything(entrepot.url, image);
    expect(await storedAfter(entrepot, origin, during[1]!)).toBe(pins.length === 0);
    await disk.makeRoom();
    await until('content is stored again', noticeMs, async () => storedAfter(entrepot, origin, during[1]!));
  },
);

test('a start on a disk that is completely full: what is cached is served, and a pull makes room for itself', async () => {
  await using origin = await FakeRegistry.start();
  const sizes = { baseSizes: [MiB], ownSize: () => MiB };
  const [kept, other, fresh] = await publishFleet(origin, { count: 3, ...sizes });
  await using disk = await SmallDisk.create(24 * MiB);
  await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path });
  for (const image of [other!, kept!]) await pullEverything(entrepot.url, image);
  await entrepot.stop();
  await disk.fill();
  await entrepot.restart();
  await pullEverything(entrepot.url, kept!);
  await pullEverything(entrepot.url, fresh!);
  expect(await storedAfter(entrepot, origin, fresh!)).toBe(true);
});

test('a small pull on a disk that others have filled costs no more images than it needs', async () => {
  await using origin = await FakeRegistry.start();
  const images = await publishFleet(origin, { name: 'image', count: 8, baseSizes: [MiB], ownSize: () => 2 * MiB });
  const [small] = await publishFleet(origin, { name: 'small', count: 1, baseSizes: [1000], ownSize: () => MiB });
  await using disk = await SmallDisk.create(64 * MiB);
  await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path });
  for (const image of images) await pullEverything(entrepot.url, image);
  await entrepot.idle();
  await disk.fill();
  expect(await storedAfter(entrepot, origin, small!)).toBe(true);
  const left = (await entrepot.images()).filter(({ complete }) => complete).length;
  // Room for it, and as much again as is to be left free.
  expect(left).toBeGreaterThanOrEqual(1 + images.length - 3);
});

/** Pulls twice; true when the second pull needed no blob of the upstream's. */
async function storedAfter(entrepot: Entrepot, origin: FakeRegistry, image: FleetImage): Promise<boolean> {
  await pullEverything(entrepot.url, image);
  const asked = origin.count({ kind: 'blob', method: 'GET' });
  await pullEverything(entrepot.url, image);
  return origin.count({ kind: 'blob', method: 'GET' }) === asked;
}

test('minFree: so much of the disk stays free whatever is pulled, and every pull succeeds', async () => {
  const minFree = 40 * MiB;
  await using origin = await FakeRegistry.start();
  const images = await publishFleet(origin, { count: 16, baseSizes: [2 * MiB], ownSize: () => 8 * MiB });
  await using disk = await SmallDisk.create(96 * MiB);
  const storage = { minFree: '40MiB' };
  await using entrepot = await Entrepot.start({ upstream: origin, dataPath: disk.path, storage });
  const watch = new FreeSpaceWatch(disk);
  try {
    for (const round of [images, images.toReversed()]) {
      for (let index = 0; index < round.length; index += 2) {
        await Promise.all(round.slice(index, index + 2).map((image) => pullEverything(entrepot.url, image)));
      }
    }
  } finally {
    await watch[Symbol.asyncDispose]();
  }
  const status = await entrepot.status();
  console.log(
    `minFree ${minFree}: at the least ${watch.lowest} bytes were free in ${watch.samples} samples; ` +
      `${status.cache.bytes} bytes cached in ${status.cache.blobs} blobs`,
  );
  expect(watch.lowest).toBeGreaterThanOrEqual(minFree);
  // And no more than needed was left free.
  expect(watch.lowest).toBeLessThan(minFree + 12 * MiB);
  expect(status.disk.minFree).toBe(minFree);
});
