import { statSync } from 'node:fs';
import { readdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Content, digestOf, generatedContent } from '../support/fake-registry/content.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot, everyonePushes } from './support/entrepot.ts';
import { ask, Download } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { type PushedImage, Pusher, pieces, smallPush } from './support/pusher.ts';
import { until } from './support/scratch.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;
const pushesAtOnce = 100;
const large = { pushes: 20, bytes: 256 * MiB };
/** Of what is resident, while all of the large ones come in at once. */
const maxGrowthBytes = 150_000_000;
const arrivedMs = 10_000;

function below(entrepot: Entrepot, repository: string): (path: string) => string {
  return (path) => `${entrepot.url}/v2/${repository}/${path}`;
}

function startOpen(origin: FakeRegistry): Promise<Entrepot> {
  return Entrepot.start({ upstream: origin, access: everyonePushes });
}

/** By tag and by digest, and everything that it names. */
async function expectThere(at: (path: string) => string, image: PushedImage, tag: string): Promise<void> {
  for (const reference of [tag, image.manifest.digest]) {
    const answer = await ask(at(`manifests/${reference}`));
    expect([answer.status, answer.text], at(reference)).toEqual([200, image.manifest.bytes.toString()]);
  }
  for (const { digest } of [...image.layers, image.config]) {
    expect(await new Download(at(`blobs/${digest}`)).digest, at(digest)).toBe(digest);
  }
}

test(`${pushesAtOnce} pushes of distinct images at once, and kill -9 right after: all of them are there, byte for byte`, async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await startOpen(origin);
  // One layer that all of them have, and all send at the same time.
  const shared = generatedContent(MiB, 'shared').read(0, MiB);
  const images = Array.from({ length: pushesAtOnce }, (_, index) => {
    const own = generatedContent(100_000 + index * 1_000, index).read(0, 100_000 + index * 1_000);
    return smallPush(`image ${index}`, [shared, own, Buffer.from(`small ${index}`)]);
  });
  const repository = (index: number): string => `local/image-${String(index).padStart(3, '0')}`;

  await Promise.all(
    images.map(async (image, index) => {
      using pusher = new Pusher(below(entrepot, repository(index)));
      await pusher.image(image, '1.0');
    }),
  );
  await entrepot.kill9();
  await entrepot.restart();
  for (const [index, image] of images.entries()) await expectThere(below(entrepot, repository(index)), image, '1.0');
  const { repositories } = JSON.parse((await ask(`${entrepot.url}/v2/_catalog?n=1000`)).text) as {
    repositories: string[];
  };
  expect(repositories).toEqual(images.map((_, index) => repository(index)));
  expect(entrepot.complaints).toEqual([]);
  expect(origin.count()).toBe(0);
});

test('after a kill -9 between two chunks the client goes on with the same upload where its Range says', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await startOpen(origin);
  const content = generatedContent(9 * MiB, 'in chunks');
  using pusher = new Pusher(below(entrepot, 'local/chunks'));
  let location = await pusher.begin();
  for (const first of [0, 3 * MiB]) {
    location = await pusher.chunk(location, ...chunkOf(content, first, first + 3 * MiB));
    await entrepot.kill9();
    await entrepot.restart();
    expect(await pusher.standing(location)).toBe(first + 3 * MiB);
  }
  // What was sent before is not taken twice.
  await expect(pusher.chunk(location, ...chunkOf(content, 3 * MiB, 6 * MiB))).rejects.toThrow('status 416');
  location = await pusher.chunk(location, ...chunkOf(content, 6 * MiB, 9 * MiB));
  await expectPushed(entrepot, pusher, location, content);
});

test('after a kill -9 in the middle of a chunk the client goes on with what arrived of it', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await startOpen(origin);
  const content = generatedContent(9 * MiB, 'in the middle');
  using pusher = new Pusher(below(entrepot, 'local/chunks'));
  const begun = await pusher.begin();
  const location = await pusher.chunk(begun, ...chunkOf(content, 0, 3 * MiB));
  const broken = pusher.chunk(location, { first: 3 * MiB, end: 9 * MiB }, halfOf(entrepot, content));
  await expect(broken).rejects.toThrow();
  await entrepot.restart();

  const standing = await pusher.standing(location);
  expect(standing).toBeGreaterThan(3 * MiB);
  expect(standing).toBeLessThanOrEqual(6 * MiB);
  const last = await pusher.chunk(location, ...chunkOf(content, standing, content.size));
  await expectPushed(entrepot, pusher, last, content);
});

test(`memory stays flat while ${large.pushes} blobs of ${large.bytes / MiB} MiB come in at once`, async () => {
  const needed = 1.5 * large.pushes * large.bytes;
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < needed) throw new Error(`this test needs ${needed} bytes free in ${tmpdir()}`);
  await using origin = await FakeRegistry.start();
  await using entrepot = await startOpen(origin);
  using first = new Pusher(below(entrepot, 'local/first'));
  await first.image(smallPush('what is loaded once'), '1.0');
  const before = await entrepot.residentMemory();

  const began = performance.now();
  const digests = await Promise.all(
    Array.from({ length: large.pushes }, async (_, index) => {
      using pusher = new Pusher(below(entrepot, `local/large-${index}`));
      return await pusher.blob(generatedContent(large.bytes, `large ${index}`));
    }),
  );
  const growth = (await entrepot.peakMemory()) - before;
  const seconds = (performance.now() - began) / 1000;
  console.log(
    `${large.pushes} pushes of ${large.bytes / MiB} MiB in ${seconds.toFixed(1)} s: ` +
      `${Math.round(before / MiB)} MiB resident before, at the most ${Math.round(growth / MiB)} MiB more`,
  );
  expect(growth).toBeLessThan(maxGrowthBytes);
  for (const [index, digest] of digests.entries()) {
    const { status, headers } = await ask(below(entrepot, `local/large-${index}`)(`blobs/${digest}`), 'HEAD');
    expect([status, Number(headers.get('content-length'))]).toEqual([200, large.bytes]);
  }
  const [one] = digests;
  expect(await new Download(below(entrepot, 'local/large-0')(`blobs/${one}`)).digest).toBe(one);
  expect(entrepot.complaints).toEqual([]);
});

type Span = { readonly first: number; readonly end: number };

function chunkOf(content: Content, first: number, end: number): [Span, Iterable<Buffer>] {
  return [{ first, end }, pieces(content, first, end)];
}

async function expectPushed(entrepot: Entrepot, pusher: Pusher, location: string, content: Content): Promise<void> {
  const digest = await digestOf(content);
  await pusher.complete(location, digest);
  expect(await new Download(below(entrepot, 'local/chunks')(`blobs/${digest}`)).digest).toBe(digest);
  await expect(pusher.standing(location)).rejects.toThrow('BLOB_UPLOAD_UNKNOWN');
}

/** Half of what was promised; when some of that has arrived, the daemon dies. */
async function* halfOf(entrepot: Entrepot, content: Content): AsyncGenerator<Buffer> {
  yield* pieces(content, 3 * MiB, 6 * MiB);
  const folder = join(entrepot.dataPath, 'uploads');
  const [name = ''] = await readdir(folder);
  await until('a part of the chunk has arrived', arrivedMs, () => statSync(join(folder, name)).size > 4 * MiB);
  await entrepot.kill9();
}
