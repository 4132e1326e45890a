import { randomBytes } from 'node:crypto';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hash } from 'bcrypt';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { socketPathOf } from '../../src/admin/socket-path.ts';
import { AdminClient } from '../../src/cli/admin-client.ts';
import { Client } from '../conformance/client.ts';
import { type Document, documentOf, imageOf, imageType } from '../conformance/documents.ts';
import { Registry } from '../conformance/registry.ts';
import { Daemon } from '../support/daemon.ts';
import { type AddedImage, FakeRegistry } from '../support/fake-registry.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const kB = 1_000;
const open = { access: { anonymous: { pull: true, push: true } } };

/** A daemon and an upstream, and somebody who pushes. */
class Site implements AsyncDisposable {
  readonly origin: FakeRegistry;
  readonly daemon: Daemon;
  #client: Client;

  private constructor(origin: FakeRegistry, daemon: Daemon) {
    this.origin = origin;
    this.daemon = daemon;
    this.#client = clientOf(daemon);
  }

  static async start(storage: object = {}, settings: object = {}): Promise<Site> {
    const origin = await FakeRegistry.start();
    const daemon = await Daemon.start(origin.url, {
      ...open,
      storage: { path: 'data', minFree: 0, gcGrace: '0s', ...storage },
      ...settings,
    });
    return new Site(origin, daemon);
  }

  get registry(): Registry {
    return new Registry(this.#client, 'local');
  }

  get admin(): AdminClient {
    const { dataPath } = this.daemon;
    const socketPath = socketPathOf(dataPath);
    if (!socketPath.ok) throw new Error(socketPath.failure.reason);
    return new AdminClient({ socketPath: socketPath.value, dataPath, signal: new AbortController().signal });
  }

  async restart(): Promise<void> {
    await this.daemon.restart();
    await this.#client[Symbol.asyncDispose]();
    this.#client = clientOf(this.daemon);
  }

  collectGarbage() {
    return this.admin.collectGarbage({ dryRun: false }, () => undefined);
  }

  async pull(repository: string, { config, layers }: AddedImage, tag = '1.0'): Promise<void> {
    expect((await this.daemon.get(`/v2/${repository}/manifests/${tag}`)).status).toBe(200);
    for (const { digest } of [config, ...layers]) {
      await (await this.daemon.get(`/v2/${repository}/blobs/${digest}`)).arrayBuffer();
      await this.daemon.stored(digest);
    }
  }

  async blobs(): Promise<readonly string[]> {
    const entries = await readdir(join(this.daemon.dataPath, 'blobs'), { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => `sha256:${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.daemon[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
  }
}

function clientOf({ url }: Daemon): Client {
  return new Client({ url, namespace: 'local', [Symbol.asyncDispose]: () => Promise.resolve() });
}

async function isServed({ registry }: Site, repository: string, tag: string, image: Document): Promise<void> {
  const answer = await registry.manifest(repository, tag);
  expect([answer.status, answer.header('docker-content-digest')]).toEqual([200, image.digest]);
  for (const { digest } of blobsOf(image)) (await registry.get(repository, `blobs/${digest}`)).is(200);
}

function blobsOf({ bytes }: Document): readonly { readonly digest: string }[] {
  const { config, layers } = JSON.parse(bytes.toString()) as {
    config: { digest: string };
    layers: { digest: string }[];
  };
  return [config, ...layers];
}

test.each([
  ['the ledger', ['ledger.db', 'ledger.db-wal', 'ledger.db-shm']],
  ['ledger and journal', ['ledger.db', 'ledger.db-wal', 'ledger.db-shm', 'journal.ndjson']],
])('what was pushed is there after %s is lost, byte for byte, and what was deleted is not', async (_, files) => {
  await using site = await Site.start();
  const image = await site.registry.image('local/app', ['1', '2', '3']);
  const other = await site.registry.image('local/deep/er/app', ['v1']);
  (await site.registry.delete('local/app', 'manifests/2')).is(202);
  await site.daemon.stop();
  for (const file of files) await rm(join(site.daemon.dataPath, file), { force: true });
  await site.restart();
  for (const tag of ['1', '3']) await isServed(site, 'local/app', tag, image);
  await isServed(site, 'local/deep/er/app', 'v1', other);
  expect((await site.registry.manifest('local/app', '2')).status).toBe(404);
  expect((await site.admin.status()).hosted.blobs).toBe(6);
  expect((await site.admin.status()).cache.bytes).toBe(0);
});

test('an image that states a wrong size of a layer is served after ledger and journal are lost, as it was before', async () => {
  await using site = await Site.start();
  const { config, layer } = await site.registry.parts('local/app');
  const image = imageOf(config, [{ ...layer, size: layer.size + 1 }]);
  (await site.registry.put('local/app', '1', image)).is(201);
  await site.daemon.stop();
  for (const file of ['ledger.db', 'ledger.db-wal', 'ledger.db-shm', 'journal.ndjson'])
    await rm(join(site.daemon.dataPath, file), { force: true });
  await site.restart();
  await isServed(site, 'local/app', '1', image);
});

test('notes that somebody removed while the daemon was stopped are there again before a crash can take them for the truth', async () => {
  await using site = await Site.start();
  const image = await site.registry.image('local/app', ['1']);
  await site.daemon.stop();
  await rm(join(site.daemon.dataPath, 'hosted'), { recursive: true });
  await site.restart();
  await site.daemon.stop();
  const ledger = new Database(join(site.daemon.dataPath, 'ledger.db'));
  ledger.exec("DELETE FROM facts WHERE name = 'stopped cleanly'");
  ledger.close();
  await site.restart();
  await isServed(site, 'local/app', '1', image);
});

test('what is hosted does not count against the cap, and no pressure makes it go', async () => {
  await using site = await Site.start({ maxSize: '500kB' });
  const big = randomBytes(800 * kB);
  const digest = await site.registry.blob('local/big', big);
  const { config } = await site.registry.parts('local/big');
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: big.length };
  const image = imageOf(config, [layer]);
  (await site.registry.put('local/big', 'latest', image)).is(201);
  for (const name of ['a', 'b', 'c', 'd']) {
    const added = site.origin.addImage(`library/${name}`, '1.0', { layers: [randomBytes(200 * kB)] });
    await site.pull(`library/${name}`, added);
    const { cache } = await site.admin.status();
    expect(cache.bytes).toBeLessThanOrEqual(500 * kB);
  }
  await isServed(site, 'local/big', 'latest', image);
  expect((await site.admin.status()).hosted.bytes).toBeGreaterThan(800 * kB);
});

test('a cached layer that an image is built on changes sides when it is asked for, and stays for both', async () => {
  await using site = await Site.start({ maxSize: '1MB' });
  const base = randomBytes(300 * kB);
  const cached = site.origin.addImage('library/base', '1.0', { layers: [base] });
  await site.pull('library/base', cached);
  const before = await site.admin.status();
  const [layer] = cached.layers as [AddedImage['layers'][number]];

  // What an engine asks before it uploads a layer.
  expect((await site.registry.get('local/app', `blobs/${layer.digest}`)).status).toBe(404);
  expect((await site.registry.head('local/app', `blobs/${layer.digest}`)).status).toBe(200);
  expect((await site.registry.get('local/app', `blobs/${layer.digest}`)).status).toBe(200);
  const after = await site.admin.status();
  expect(before.cache.bytes - after.cache.bytes).toBe(base.length);
  expect(after.hosted.bytes).toBe(base.length);

  // Nothing needs it here: the cached image still does.
  await site.collectGarbage();
  const back = await site.admin.status();
  expect([back.hosted.bytes, back.cache.bytes]).toEqual([0, before.cache.bytes]);
  expect((await site.registry.get('local/app', `blobs/${layer.digest}`)).status).toBe(404);
  expect((await site.daemon.get(`/v2/library/base/blobs/${layer.digest}`)).headers.get('cache-status')).toBe(
    'entrepot; hit',
  );
});

test('a deleted image is gone at once, and its bytes with the next garbage collection, but for what another one shares', async () => {
  await using site = await Site.start();
  const { registry } = site;
  const { config, layer } = await registry.parts('local/app');
  const [one, two] = ['one', 'two'].map((name) => imageOf(config, [layer], { annotations: { name } })) as [
    Document,
    Document,
  ];
  (await registry.put('local/app', '1', one)).is(201);
  (await registry.put('local/app', '2', two)).is(201);
  (await registry.delete('local/app', `manifests/${one.digest}`)).is(202);
  expect((await registry.manifest('local/app', '1')).status).toBe(404);
  await site.collectGarbage();
  await isServed(site, 'local/app', '2', two);
  expect(await site.blobs()).not.toContain(one.digest);
  (await registry.delete('local/app', `manifests/${two.digest}`)).is(202);
  await site.collectGarbage();
  expect(await site.blobs()).toEqual([]);
  expect(await site.admin.status()).toMatchObject({ hosted: { bytes: 0, blobs: 0 } });
});

test('hosted bytes that nothing needs go although the cap has no room for them, and no cached image goes for them', async () => {
  await using site = await Site.start({ maxSize: '500kB' });
  await site.pull('library/a', site.origin.addImage('library/a', '1.0', { layers: [randomBytes(300 * kB)] }));
  const before = await site.admin.status();
  for (const size of [400 * kB, 700 * kB]) await site.registry.blob('local/app', randomBytes(size));
  await site.collectGarbage();
  const after = await site.admin.status();
  expect([after.hosted.bytes, after.cache.bytes]).toEqual([0, before.cache.bytes]);
});

test('blobs of a push under way outlive garbage collection, and a HEAD gives them another time', async () => {
  await using site = await Site.start({ gcGrace: '1h' });
  const digest = await site.registry.blob('local/app');
  await site.collectGarbage();
  expect((await site.registry.get('local/app', `blobs/${digest}`)).status).toBe(200);
});

test('referrers with annotations of any size come in pages that a server has the memory for, each once', async () => {
  await using site = await Site.start();
  const { registry } = site;
  const subject = await registry.image('local/app', ['1']);
  const { config, layer } = await registry.parts('local/app');
  const pushed: string[] = [];
  for (let count = 0; count < 20; count++) {
    const referrer = imageOf(config, [layer], {
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
      annotations: { count: String(count), text: 'x'.repeat(900 * kB) },
    });
    (await registry.put('local/app', referrer.digest, referrer)).is(201);
    pushed.push(referrer.digest);
  }
  const listed: string[] = [];
  for (let path: string | undefined = `/v2/local/app/referrers/${subject.digest}`; path !== undefined; ) {
    const page: Response = await site.daemon.get(path);
    expect(page.status).toBe(200);
    const text = await page.text();
    expect(text.length).toBeLessThan(5_000 * kB);
    const { manifests } = JSON.parse(text) as { manifests: { digest: string }[] };
    listed.push(...manifests.map(({ digest }) => digest));
    path = /^<(.*)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
  }
  expect(listed).toEqual(pushed.toSorted());
});

test('an image that does not state its type cannot be pushed as another one, for it would be that to everybody', async () => {
  await using site = await Site.start();
  const { config, layer } = await site.registry.parts('local/app');
  const { bytes, digest } = documentOf('', { schemaVersion: 2, config, layers: [layer] });
  for (const mediaType of [
    'application/vnd.oci.artifact.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json',
  ]) {
    (await site.registry.put('local/app', '1', { mediaType, bytes, digest })).isError(400, 'MANIFEST_INVALID');
  }
  (await site.registry.put('local/app', '1', { mediaType: imageType, bytes, digest })).is(201);
});

test('tags that may not be overwritten stay what they are, and retention keeps what it says', async () => {
  await using site = await Site.start(
    {},
    {
      private: {
        namespaces: ['local/**'],
        policies: [
          { repositories: ['local/releases'], immutableTags: ['v*'] },
          { repositories: ['local/ci'], retention: { keepLast: 2, keep: ['main'] } },
        ],
      },
    },
  );
  const { registry } = site;
  const first = await registry.image('local/releases', ['v1', 'latest']);
  const { config, layer } = await registry.parts('local/releases');
  const second = imageOf(config, [layer]);
  const refused = await registry.put('local/releases', 'v1', second);
  expect([refused.status, refused.body.toString()]).toEqual([403, expect.stringContaining('may not be overwritten')]);
  (await registry.put('local/releases', 'v1', first)).is(201);
  (await registry.put('local/releases', 'latest', second)).is(201);
  await isServed(site, 'local/releases', 'v1', first);

  const images = new Map<string, Document>();
  for (const tag of ['main', '1', '2', '3']) images.set(tag, await registry.image('local/ci', [tag]));
  const planned = await site.admin.collectGarbage({ dryRun: true }, () => undefined);
  expect(planned.removed.map(({ kind }) => kind)).toContain('hosted tag');
  await site.collectGarbage();
  const tags = await registry.get('local/ci', 'tags/list');
  expect(JSON.parse(tags.body.toString())).toEqual({ name: 'local/ci', tags: ['2', '3', 'main'] });
  for (const tag of ['main', '2', '3']) await isServed(site, 'local/ci', tag, images.get(tag)!);
  expect(await site.blobs()).not.toContain(images.get('1')!.digest);
});

test('a hosted blob whose file became shorter is never a whole answer, is told loudly, and is whole again when it is pushed', async () => {
  await using site = await Site.start();
  const bytes = randomBytes(50 * kB);
  const digest = await site.registry.blob('local/app', bytes);
  const hex = digest.slice('sha256:'.length);
  await truncate(join(site.daemon.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex), 10 * kB);
  expect((await site.registry.get('local/app', `blobs/${digest}`)).status).toBe(404);
  expect(site.daemon.log).toContainEqual(
    expect.objectContaining({ level: 'error', digest, msg: expect.stringContaining('damaged') as string }),
  );
  await site.registry.blob('local/app', bytes);
  expect((await site.registry.get('local/app', `blobs/${digest}`)).body.equals(bytes)).toBe(true);
});

test('garbage collection takes no layer for which the manifest is damaged, until that is deleted', async () => {
  await using site = await Site.start();
  const image = await site.registry.image('local/app', ['1']);
  const hex = image.digest.slice('sha256:'.length);
  await truncate(join(site.daemon.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex), 10);
  await site.restart();
  expect((await site.registry.manifest('local/app', '1')).status).toBe(404);
  await site.collectGarbage();
  (await site.registry.put('local/app', '1', image)).is(201);
  await isServed(site, 'local/app', '1', image);
  (await site.registry.delete('local/app', `manifests/${image.digest}`)).is(202);
  await site.collectGarbage();
  expect((await site.admin.status()).hosted.blobs).toBe(0);
});

test('an image whose manifest is damaged can be deleted, tags and all', async () => {
  await using site = await Site.start();
  const { digest } = await site.registry.image('local/app', ['1']);
  const hex = digest.slice('sha256:'.length);
  await truncate(join(site.daemon.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex), 10);
  await site.restart();
  expect((await site.registry.manifest('local/app', '1')).status).toBe(404);
  (await site.registry.delete('local/app', `manifests/${digest}`)).is(202);
  (await site.registry.delete('local/app', 'manifests/1')).isError(404, 'MANIFEST_UNKNOWN');
  (await site.registry.delete('local/app', `manifests/${digest}`)).isError(404, 'MANIFEST_UNKNOWN');
  const notes = await readdir(join(site.daemon.dataPath, 'hosted'), { recursive: true, withFileTypes: true });
  expect(notes.filter((entry) => entry.isFile())).toEqual([]);
});

test('pushes, pulls and deletions are told to those who want to hear of them', async () => {
  await using receiver = await WebhookReceiver.start();
  const notifications = [{ url: `http://127.0.0.1:${receiver.port}/hook`, events: ['push', 'pull', 'delete'] }];
  await using site = await Site.start({}, { notifications });
  const image = await site.registry.image('local/app', ['1.0']);
  (await site.registry.manifest('local/app', '1.0')).is(200);
  (await site.registry.delete('local/app', 'manifests/1.0')).is(202);
  await expect.poll(() => receiver.requests.flatMap(({ events }) => events), { timeout: 10_000 }).toHaveLength(3);
  const events = receiver.requests.flatMap(({ events }) => events);
  expect(events.map(({ action, target }) => [action, target['repository'], target.tag, target['digest']])).toEqual([
    ['push', 'local/app', '1.0', image.digest],
    ['pull', 'local/app', '1.0', image.digest],
    ['delete', 'local/app', '1.0', undefined],
  ]);
});

test('verify names what is hosted and gone, also when a pull has found that before, and what it is part of', async () => {
  await using site = await Site.start();
  const image = await site.registry.image('local/app', ['1.0']);
  const [, layer] = blobsOf(image) as [{ digest: string }, { digest: string }];
  const hex = layer.digest.slice('sha256:'.length);
  await rm(join(site.daemon.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex));
  expect((await site.registry.get('local/app', `blobs/${layer.digest}`)).status).toBe(404);
  const { damaged } = await site.admin.verify({ repair: false }, () => undefined);
  expect(damaged).toEqual([
    { digest: layer.digest, bytes: 0, reason: 'missing', images: ['local/app:1.0'], repaired: false, hosted: true },
  ]);
});

test('a login is asked for from the first request after the first user, however long nobody has asked', async () => {
  await using site = await Site.start();
  expect((await site.daemon.get('/v2/')).status).toBe(200);
  await writeFile(join(site.daemon.dataPath, 'htpasswd'), `bob:${await hash('right', 4)}\n`);
  // Longer than the file is believed to be as it was.
  await delay(1_100);
  expect((await site.daemon.get('/v2/')).status).toBe(401);
});
