import { open, rm, stat, truncate } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Verified } from '../../src/admin/operations.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot } from './support/entrepot.ts';
import { type FleetImage, publishFleet, pullEverything } from './support/fleet.ts';
import { Download } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { until } from './support/scratch.ts';
import { sha256OfFile } from './support/tree.ts';
import { bytesInUse, filesIn } from './support/usage.ts';

showLogsOfFailedTests();

const noticeMs = 30_000;

const MiB = 1024 * 1024;

/** A daemon that has four images, of which three blobs are not any more what they were. */
interface Damaged {
  readonly entrepot: Entrepot;
  readonly images: readonly FleetImage[];
  /** One byte differs. The base layer of the first and third image. */
  readonly flipped: string;
  /** Of the second image. */
  readonly shortened: string;
  /** Of the fourth image. */
  readonly deleted: string;
}

async function damage(entrepot: Entrepot, origin: FakeRegistry): Promise<Damaged> {
  const images = await publishFleet(origin, { count: 4, baseSizes: [2 * MiB, MiB], ownSize: () => 3 * MiB });
  for (const image of images) await pullEverything(entrepot.url, image);
  await entrepot.idle();
  const [flipped, shortened, deleted] = [images[0]!.base, images[1]!.own, images[3]!.own];
  await flipByte(fileOf(entrepot, flipped), MiB + 7);
  await truncate(fileOf(entrepot, shortened), MiB);
  await rm(fileOf(entrepot, deleted));
  origin.resetCounters();
  return { entrepot, images, flipped, shortened, deleted };
}

function fileOf(entrepot: Entrepot, digest: string): string {
  const hex = digest.slice('sha256:'.length);
  return join(entrepot.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex);
}

async function flipByte(path: string, position: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  await file.write(Buffer.from([byte[0]! ^ 0xff]), 0, 1, position);
}

async function verify(
  entrepot: Entrepot,
  ...options: readonly string[]
): Promise<Verified & { readonly code: number | null }> {
  const { code, stdout, stderr } = await entrepot.command('verify', '--json', ...options);
  expect(stdout, stderr).not.toBe('');
  return { code, ...(JSON.parse(stdout) as Verified) };
}

function listed(image: FleetImage): string {
  return `docker.io/${image.name}`;
}

test('verify names what is damaged and whose it is, puts it aside, and the next pull fetches it anew', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  const { images, flipped, shortened, deleted } = await damage(entrepot, origin);
  const damagedBytes = await sha256OfFile(fileOf(entrepot, flipped));

  const found = await verify(entrepot);
  expect(found.code).toBe(1);
  const byDigest = new Map(found.damaged.map((entry) => [entry.digest as string, entry]));
  expect([...byDigest.keys()].toSorted()).toEqual([flipped, shortened, deleted].toSorted());
  expect(byDigest.get(flipped)).toMatchObject({ reason: 'wrong-content', repaired: false });
  expect(byDigest.get(shortened)).toMatchObject({ reason: 'wrong-size', repaired: false });
  expect(byDigest.get(deleted)).toMatchObject({ reason: 'missing', repaired: false });
  expect(byDigest.get(flipped)!.images.toSorted()).toEqual([listed(images[0]!), listed(images[2]!)]);
  expect(byDigest.get(shortened)!.images).toEqual([listed(images[1]!)]);
  expect(byDigest.get(deleted)!.images).toEqual([listed(images[3]!)]);

  expect(await Promise.all(filesIn(entrepot.dataPath, 'quarantine').map(sha256OfFile))).toContain(damagedBytes);
  await expect(stat(fileOf(entrepot, flipped))).rejects.toThrow('ENOENT');
  expect((await entrepot.images()).map(({ complete }) => complete)).toEqual([false, false, false, false]);
  expect((await entrepot.status()).cache.bytes).toBe(bytesInUse(entrepot.dataPath));
  expect(origin.count({ kind: 'blob' })).toBe(0);

  for (const image of images) await pullEverything(entrepot.url, image);
  await entrepot.idle();
  for (const digest of [flipped, shortened, deleted]) {
    expect(origin.count({ kind: 'blob', method: 'GET', reference: digest }), digest).toBe(1);
  }
  expect(origin.count({ kind: 'blob', method: 'GET' })).toBe(3);
  const after = await verify(entrepot);
  expect(after).toMatchObject({ code: 0, damaged: [] });
  expect((await entrepot.images()).every(({ complete }) => complete)).toBe(true);
  console.log(
    `verify: ${found.blobs} blobs, ${found.bytes} bytes, ${found.damaged.length} damaged; then ${after.blobs} sound`,
  );
});

test('what verify says to people names every damaged digest and its images', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  const { images, flipped, shortened, deleted } = await damage(entrepot, origin);
  const { code, stdout, stderr } = await entrepot.command('verify');
  expect(code).toBe(1);
  for (const digest of [flipped, shortened, deleted]) expect(stdout + stderr).toContain(digest);
  for (const image of images) expect(stdout + stderr).toContain(listed(image));
});

test('verify --repair fetches what is damaged again at once', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  const { images, flipped, shortened, deleted } = await damage(entrepot, origin);

  const found = await verify(entrepot, '--repair');
  expect(found.damaged.map(({ digest, repaired }) => [digest, repaired]).toSorted()).toEqual(
    [flipped, shortened, deleted].map((digest) => [digest, true]).toSorted(),
  );
  for (const digest of [flipped, shortened, deleted]) {
    expect(origin.count({ kind: 'blob', method: 'GET', reference: digest }), digest).toBe(1);
  }
  await origin.kill();
  expect((await entrepot.images()).every(({ complete }) => complete)).toBe(true);
  for (const image of images) await pullEverything(entrepot.url, image);
  expect(await verify(entrepot)).toMatchObject({ code: 0, damaged: [] });
  console.log(`verify --repair: exit code ${String(found.code)}, ${found.damaged.length} repaired`);
});

test('what was set aside stays damage until it is stored again, also for a later --repair', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  const { images, flipped, shortened, deleted } = await damage(entrepot, origin);
  expect((await verify(entrepot)).code).toBe(1);
  const again = await verify(entrepot);
  expect(again.code).toBe(1);
  expect(again.damaged.map(({ digest, reason }) => [digest, reason]).toSorted()).toEqual(
    [flipped, shortened].map((digest) => [digest, 'set-aside']).toSorted(),
  );
  for (const { images: affected } of again.damaged) expect(affected.length).toBeGreaterThan(0);

  await origin.kill();
  expect((await verify(entrepot, '--repair')).damaged.map(({ repaired }) => repaired)).toEqual([false, false]);
  await origin.revive();
  await until('the upstream is asked again', noticeMs, async () => {
    const { damaged } = await verify(entrepot, '--repair');
    return damaged.every(({ repaired }) => repaired);
  });
  expect(await verify(entrepot)).toMatchObject({ code: 0, damaged: [] });
  expect(origin.count({ kind: 'blob', method: 'GET', reference: deleted })).toBe(0);
  for (const image of images) await pullEverything(entrepot.url, image);
});

test('a file that shrinks while it is served: the connection is cut, and the next pull is right', async () => {
  await using origin = await FakeRegistry.start();
  const large = await origin.addGeneratedBlob('library/large', 48 * MiB, 'shrinks');
  await using entrepot = await Entrepot.start({ upstream: origin });
  const url = `${entrepot.url}/v2/library/large/blobs/${large.digest}`;
  expect(await new Download(url).digest).toBe(large.digest);
  await entrepot.idle();

  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { agent: false }, resolve).once('error', reject);
  });
  expect(response.statusCode).toBe(200);
  expect(response.headers['content-length']).toBe(String(large.size));
  let received = 0;
  const readAll = async (): Promise<void> => {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      // Only now: what the kernel keeps for a client that does not read is far less than what is cut off.
      if (received === 0) await truncate(fileOf(entrepot, large.digest), 16 * MiB);
      received += chunk.length;
    }
  };
  await expect(readAll()).rejects.toThrow(/aborted|ECONNRESET/);
  expect(response.complete).toBe(false);
  expect(received).toBeLessThan(large.size);
  console.log(`shrunk to ${16 * MiB} of ${large.size} bytes while served: cut after ${received}`);

  expect(await new Download(url).digest).toBe(large.digest);
  expect(await new Download(url).digest).toBe(large.digest);
  expect(origin.count({ kind: 'blob', method: 'GET' })).toBe(2);
});
