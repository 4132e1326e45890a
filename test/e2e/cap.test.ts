import { beforeAll, expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { type Skopeo, startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { type FleetImage, publishFleet } from './support/fleet.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { Random, setting } from './support/random.ts';
import { meetRequirements } from './support/requirements.ts';
import { Cleanup } from './support/scratch.ts';
import { UsageWatch } from './support/usage.ts';

showLogsOfFailedTests();
beforeAll(meetRequirements);

const MB = 1_000_000;
const cap = 200 * MB;
const clientsAtOnce = 4;
const seconds = setting('ENTREPOT_CAP_SECONDS', 45);
const seed = setting('ENTREPOT_SEED', 7);

/** All of it, and compared; afterwards the client has nothing of it. */
async function pullAnew(skopeo: Skopeo, image: FleetImage): Promise<void> {
  await skopeo.pull(image.name);
  expect(await skopeo.digest(image.name)).toBe(image.manifest);
  await skopeo.remove(image.name);
}

test(
  '30 images of 40 MB through a cap of 200 MB: never a byte above it, every pull is right, and what is listed is there',
  async () => {
    await using origin = await FakeRegistry.start();
    const images = await publishFleet(origin, { count: 30, baseSizes: [10 * MB], ownSize: () => 30 * MB });
    await using entrepot = await Entrepot.start({ upstream: origin, storage: { maxSize: '200MB' } });
    await using cleanup = new Cleanup();
    const clients: Skopeo[] = [];
    while (clients.length < clientsAtOnce) clients.push(cleanup.use(await startSkopeo(entrepot)));

    using watch = new UsageWatch(entrepot.dataPath);
    const random = new Random(seed);
    const pulled = new Set<string>();
    let pulls = 0;
    const deadline = Date.now() + seconds * 1000;
    const pullOneAfterTheOther = async (skopeo: Skopeo): Promise<void> => {
      while (Date.now() < deadline) {
        const image = random.pick(images);
        await pullAnew(skopeo, image);
        pulled.add(image.name);
        pulls += 1;
      }
    };
    await Promise.all(clients.map(pullOneAfterTheOther));
    await entrepot.idle();

    const ownLayers = new Set(images.map((image) => image.own));
    const downloads = origin.requests.filter(
      ({ kind, method, reference, range }) =>
        kind === 'blob' && method === 'GET' && range === undefined && ownLayers.has(reference ?? ''),
    );
    const complete = (await entrepot.images()).filter((image) => image.complete);
    await origin.kill();
    for (const { digest } of complete) {
      const image = images.find(({ manifest }) => manifest === digest);
      expect(image, digest).toBeDefined();
      await pullAnew(clients[0]!, image!);
    }

    const fetchedAgain = downloads.length - pulled.size;
    const hitRatio = 1 - downloads.length / pulls;
    console.log(
      `cap (seed ${seed}): ${pulls} pulls of ${pulled.size} images in ${seconds} s; at most ${watch.highest} of ${cap} ` +
        `bytes in ${watch.samples} samples; fetched again after eviction ${fetchedAgain} times, ` +
        `hit ratio ${hitRatio.toFixed(2)}; ${complete.length} images complete at the end, all pulled offline`,
    );
    expect(watch.highest).toBeLessThanOrEqual(cap);
    // Or the cap was never put to the test, or nothing was kept.
    expect(watch.highest).toBeGreaterThan(cap / 2);
    expect(fetchedAgain).toBeGreaterThan(0);
    expect(hitRatio).toBeGreaterThan(0);
    expect(complete.length).toBeGreaterThan(1);
    expect((await entrepot.status()).cache.bytes).toBeLessThanOrEqual(cap);
    expect(entrepot.complaints).toEqual([]);
  },
  (seconds + 180) * 1000,
);
