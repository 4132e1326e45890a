import { beforeAll, expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { type FleetImage, publishFleet, pullEverything } from './support/fleet.ts';
import { ask } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { meetRequirements } from './support/requirements.ts';
import { bytesInUse } from './support/usage.ts';

showLogsOfFailedTests();
beforeAll(meetRequirements);

const MB = 1_000_000;
const cap = 60 * MB;

/** Images with nothing in common, together many times what fits. */
function publishCrowd(origin: FakeRegistry, name: string, count: number): Promise<readonly FleetImage[]> {
  return publishFleet(origin, { name, count, baseSizes: [MB / 10], ownSize: () => 8 * MB });
}

test('the base layer of an image in use stays, although nobody asks for the layer itself', async () => {
  await using origin = await FakeRegistry.start();
  const [hot] = await publishFleet(origin, { name: 'hot', count: 1, baseSizes: [10 * MB], ownSize: () => 5 * MB });
  const [cold] = await publishFleet(origin, { name: 'cold', count: 1, baseSizes: [10 * MB], ownSize: () => 5 * MB });
  const crowd = await publishCrowd(origin, 'crowd', 40);
  await using entrepot = await Entrepot.start({ upstream: origin, storage: { maxSize: '60MB' } });
  await pullEverything(entrepot.url, hot!);
  await pullEverything(entrepot.url, cold!);

  const tagOfHot = `${entrepot.url}/v2/${hot!.repository}/manifests/${hot!.tag}`;
  for (const [index, image] of crowd.entries()) {
    await pullEverything(entrepot.url, image);
    // As update checkers and as engines ask.
    expect((await ask(tagOfHot, index % 2 === 0 ? 'HEAD' : 'GET')).status).toBe(200);
  }
  await entrepot.idle();
  const asked = origin.count({ kind: 'blob', reference: hot!.base });
  const images = await entrepot.images();
  await origin.kill();

  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(hot!.name);
  expect(await skopeo.digest(hot!.name)).toBe(hot!.manifest);
  expect(asked).toBe(1);
  // The same image without anybody using it is gone: it was not for want of eviction that the hot one stayed.
  expect(images.some(({ digest }) => digest === cold!.manifest)).toBe(false);
  await expect(pullEverything(entrepot.url, cold!)).rejects.toThrow('503');
  const pushed = crowd.reduce((sum, { bytes }) => sum + bytes, 0);
  console.log(
    `base layer: ${crowd.length} images, ${pushed} bytes through a cap of ${cap}; at the end ${images.length} images, ` +
      `${bytesInUse(entrepot.dataPath)} bytes; the base layer was fetched ${asked} times`,
  );
  expect(bytesInUse(entrepot.dataPath)).toBeLessThanOrEqual(cap);
});

test('what is pinned stays without being used, by configuration and at run time; once unpinned it goes', async () => {
  await using origin = await FakeRegistry.start();
  const [byConfig] = await publishFleet(origin, { name: 'kept', count: 1, baseSizes: [4 * MB], ownSize: () => 4 * MB });
  const [atRunTime] = await publishFleet(origin, {
    name: 'tool',
    count: 1,
    baseSizes: [4 * MB],
    ownSize: () => 4 * MB,
  });
  const [first, second] = [await publishCrowd(origin, 'first', 20), await publishCrowd(origin, 'second', 20)];
  const storage = { maxSize: '60MB', pins: ['docker.io/library/kept-*'] };
  await using entrepot = await Entrepot.start({ upstream: origin, storage });
  const isListed = async (image: FleetImage): Promise<boolean> =>
    (await entrepot.images()).some(({ digest, complete }) => digest === image.manifest && complete);
  await pullEverything(entrepot.url, byConfig!);
  await pullEverything(entrepot.url, atRunTime!);
  await entrepot.idle();
  const pattern = `docker.io/${atRunTime!.repository}`;
  expect(await entrepot.command('pin', pattern)).toMatchObject({ code: 0 });

  const pinned = (await entrepot.images()).filter((image) => image.pinned).map(({ digest }) => digest);
  expect(pinned.toSorted()).toEqual([byConfig!.manifest, atRunTime!.manifest].toSorted());
  expect((await entrepot.status()).cache.pinnedBytes).toBe(byConfig!.bytes + atRunTime!.bytes);

  for (const image of first) await pullEverything(entrepot.url, image);
  await entrepot.idle();
  expect([await isListed(byConfig!), await isListed(atRunTime!)]).toEqual([true, true]);
  // A pin of the configuration is the configuration's to take away.
  expect(await entrepot.command('unpin', 'docker.io/library/kept-*')).toMatchObject({ code: 1 });
  expect(await entrepot.command('unpin', pattern)).toMatchObject({ code: 0 });
  // A pin taken away makes it go with its turn, a restart does not bring it back.
  await entrepot.restart();
  for (const image of second) await pullEverything(entrepot.url, image);
  await entrepot.idle();
  expect([await isListed(byConfig!), await isListed(atRunTime!)]).toEqual([true, false]);

  await origin.kill();
  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(byConfig!.name);
  expect(await skopeo.digest(byConfig!.name)).toBe(byConfig!.manifest);
  console.log(`pins: ${first.length + second.length} images of 8 MB through a cap of ${cap}, the pinned one is there`);
});
