import { open, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { generatedContent } from '../support/fake-registry/content.ts';
import { type Skopeo, startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { ask } from './support/http.ts';
import { ownLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { Random, setting } from './support/random.ts';
import { sharedSite } from './support/site.ts';
import { differences, sha256OfFile } from './support/tree.ts';
import { reader } from './support/upstream.ts';
import type { Image } from './support/workshop.ts';

showLogsOfFailedTests();

const pageBytes = 4096;
const seed = setting('ENTREPOT_SEED', 7);

const site = sharedSite();
afterEach(async () => {
  await site.upstream.kill();
  await site.upstream.revive();
});

interface Trouble {
  readonly trouble: string;
  readonly stop: (entrepot: Entrepot) => Promise<void>;
  readonly happen: (ledger: string) => Promise<void>;
  /** There is a damaged file to be put aside. */
  readonly isLeft: boolean;
}

const stopped = (entrepot: Entrepot): Promise<void> => entrepot.stop();
const killed = (entrepot: Entrepot): Promise<void> => entrepot.kill9();

const troubles: readonly Trouble[] = [
  { trouble: 'is gone after a stop', stop: stopped, happen: remove, isLeft: false },
  { trouble: 'is gone after kill -9', stop: killed, happen: remove, isLeft: false },
  { trouble: 'has garbage for a header', stop: stopped, happen: (path) => scribble(path, [0]), isLeft: true },
  {
    trouble: 'has garbage for every other page but the first',
    stop: stopped,
    happen: async (path) => scribble(path, await everyOtherPage(path)),
    isLeft: true,
  },
  {
    trouble: 'has garbage for some pages, drawn at random',
    stop: stopped,
    happen: async (path) =>
      scribble(
        path,
        (await everyOtherPage(path)).filter(() => random.next() < 0.5),
      ),
    isLeft: true,
  },
  { trouble: 'ends in the middle', stop: stopped, happen: halve, isLeft: true },
  { trouble: 'is empty', stop: stopped, happen: (path) => truncate(path, 0), isLeft: true },
];

const random = new Random(seed);

test.each(troubles)('the ledger $trouble: every image is still there, without the upstream', async (given) => {
  const { upstream, images } = site;
  const { app, multi, secret } = images;
  await using entrepot = await Entrepot.start({ upstream, account: reader });
  await using skopeo = await startSkopeo(entrepot);
  const byDigest = `${multi.arm64.name.split(':')[0]!}@${multi.arm64.manifest.digest}`;
  for (const name of [app.name, multi.amd64.name, byDigest]) await pullAnew(skopeo, name);
  // For as long as it takes to get it into the cache, what only the account may read is for everybody.
  await entrepot.restart({ privateRepositories: 'anyone' });
  await pullAnew(skopeo, secret.name);
  await entrepot.restart({ privateRepositories: 'users' });
  await given.stop(entrepot);
  await upstream.kill();

  const ledger = join(entrepot.dataPath, 'ledger.db');
  await given.happen(ledger);
  const damage = given.isLeft ? await sha256OfFile(ledger) : undefined;
  await entrepot.restart();
  await entrepot.reconciled();

  for (const image of [app, multi.amd64]) {
    await pullAnew(skopeo, image.name, image);
    await pullAnew(skopeo, `${image.name.split(':')[0]!}@${image.manifest.digest}`, image);
  }
  await pullAnew(skopeo, byDigest, multi.arm64);

  await expectSecretKept(entrepot, secret);
  await upstream.revive();
  await expectSecretKept(entrepot, secret);

  const { recovery } = await entrepot.status();
  const aside = (await readdir(entrepot.dataPath)).filter((name) => /^ledger\.db\.damaged[^/]*$/.test(name));
  const copies = await Promise.all(aside.map((name) => sha256OfFile(join(entrepot.dataPath, name))));
  console.log(
    `ledger ${given.trouble}: ${recovery?.reason ?? 'no recovery'}; ${JSON.stringify(recovery?.recovered)}, ` +
      `lost ${JSON.stringify(recovery?.lost)}, put aside ${aside.join(', ') || 'nothing'}`,
  );
  expect(recovery?.reason).toBeTruthy();
  expect(recovery?.recovered.manifests).toBeGreaterThanOrEqual(4);
  expect(recovery?.recovered.tags).toBeGreaterThanOrEqual(2);
  expect(entrepot.log).toMatch(/"level":"(warn|error)".*ledger/);
  if (damage === undefined) return;
  expect(recovery?.setAside).toBeTruthy();
  expect(aside.some((name) => recovery!.setAside!.endsWith(name))).toBe(true);
  expect(copies).toContain(damage);
});

test('the secret image is everybody’s again after a lost ledger where the configuration says so, and only under its name', async () => {
  const { upstream, images } = site;
  const { app, secret } = images;
  await using entrepot = await Entrepot.start({ upstream, account: reader, privateRepositories: 'anyone' });
  await using skopeo = await startSkopeo(entrepot);
  for (const name of [app.name, secret.name]) await pullAnew(skopeo, name);
  await entrepot.stop();
  await remove(join(entrepot.dataPath, 'ledger.db'));
  await upstream.kill();
  await entrepot.restart();
  await entrepot.reconciled();

  await pullAnew(skopeo, secret.name, secret);
  for (const repository of ['library/app', 'team/other', 'local/anything']) {
    for (const reference of [`blobs/${ownLayer(secret).digest}`, `manifests/${secret.manifest.digest}`]) {
      const answer = await ask(`${entrepot.url}/v2/${repository}/${reference}`);
      expect([403, 404, 503], `${repository}/${reference}`).toContain(answer.status);
    }
  }
});

test('a ledger that is sound is left alone, also after kill -9', async () => {
  const { upstream, images } = site;
  await using entrepot = await Entrepot.start({ upstream });
  await using skopeo = await startSkopeo(entrepot);
  await pullAnew(skopeo, images.app.name);
  for (const stop of [killed, stopped]) {
    await stop(entrepot);
    await entrepot.restart();
    const { recovery } = await entrepot.reconciled();
    expect(recovery).toBe(null);
    expect((await readdir(entrepot.dataPath)).filter((name) => name.includes('damaged'))).toEqual([]);
  }
});

/** Without the account, nothing of it is given out under any name, whether the upstream can be asked or not. */
async function expectSecretKept(entrepot: Entrepot, secret: Image): Promise<void> {
  const blobs = [ownLayer(secret).digest, secret.config.digest].map((digest) => `blobs/${digest}`);
  for (const repository of ['team/secret', 'docker.io/team/secret', 'library/app']) {
    for (const reference of [...blobs, `manifests/${secret.manifest.digest}`]) {
      const answer = await ask(`${entrepot.url}/v2/${repository}/${reference}`);
      expect([401, 403, 404, 503], `${repository}/${reference}`).toContain(answer.status);
    }
  }
  expect([401, 403, 503]).toContain((await ask(`${entrepot.url}/v2/team/secret/manifests/1.0`)).status);
}

/** All of it, compared where it is known what it has to be; afterwards the client has nothing of it. */
async function pullAnew(skopeo: Skopeo, name: string, expected?: Image): Promise<void> {
  await skopeo.pull(name);
  if (expected !== undefined) expect(differences(expected.files, await skopeo.files(name))).toEqual([]);
  await skopeo.remove(name);
}

async function remove(ledger: string): Promise<void> {
  for (const path of [ledger, `${ledger}-wal`, `${ledger}-shm`]) await rm(path, { force: true });
}

async function halve(ledger: string): Promise<void> {
  await truncate(ledger, Math.floor((await stat(ledger)).size / 2));
}

async function everyOtherPage(ledger: string): Promise<readonly number[]> {
  const pages = (await stat(ledger)).size / pageBytes;
  return Array.from({ length: Math.floor(pages / 2) }, (_, index) => 2 * index + 1);
}

async function scribble(ledger: string, pages: readonly number[]): Promise<void> {
  await using file = await open(ledger, 'r+');
  for (const page of pages)
    await file.write(generatedContent(pageBytes, page).read(0, pageBytes), 0, pageBytes, page * pageBytes);
}
