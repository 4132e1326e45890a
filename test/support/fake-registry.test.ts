import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { request } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FakeRegistry, type FakeRegistryOptions, mediaTypes, silentServer, unusedPort } from './fake-registry.ts';

const repository = 'library/alpine';
const bytes = Buffer.from('0123456789abcdef');

async function start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const origin = await FakeRegistry.start(options);
  onTestFinished(() => origin.stop());
  return origin;
}

const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;

/** Takes the way of a client: reads the challenge, gets a token, comes back with it. */
async function tokenFor(url: string, authorization?: string): Promise<string> {
  const challenge = (await fetch(url)).headers.get('www-authenticate') ?? '';
  const { realm, service, scope } = Object.fromEntries(
    [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!]),
  );
  const query = new URLSearchParams({ service: service!, ...(scope ? { scope } : {}) });
  const answer = await fetch(`${realm!}?${query.toString()}`, { headers: authorization ? { authorization } : {} });
  const { token } = (await answer.json()) as { token: string };
  return `Bearer ${token}`;
}

const statusOf = async (url: string, authorization?: string) =>
  (await fetch(url, { headers: authorization ? { authorization } : {} })).status;

describe('content', () => {
  test('an image is served by tag and by digest, byte for byte', async () => {
    const origin = await start();
    const image = origin.addImage(repository, ['3.19', 'latest'], { layers: [bytes] });
    for (const reference of ['3.19', 'latest', image.manifest.digest]) {
      const answer = await fetch(`${origin.url}/v2/${repository}/manifests/${reference}`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('docker-content-digest')).toBe(image.manifest.digest);
      expect(answer.headers.get('content-type')).toBe(mediaTypes.oci.manifest);
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(image.bytes);
    }
    const blob = await fetch(`${origin.url}/v2/${repository}/blobs/${image.layers[0]!.digest}`);
    expect(Buffer.from(await blob.arrayBuffer())).toEqual(bytes);
  });

  test('a HEAD has the headers of the GET and no body', async () => {
    const origin = await start();
    const { manifest, layers } = origin.addImage(repository, 'v1', { layers: [bytes] });
    const manifestHead = await request(`${origin.url}/v2/${repository}/manifests/v1`, { method: 'HEAD' });
    expect(manifestHead.headers).toMatchObject({
      'content-length': String(manifest.size),
      'docker-content-digest': manifest.digest,
    });
    const blobHead = await request(`${origin.url}/v2/${repository}/blobs/${layers[0]!.digest}`, { method: 'HEAD' });
    expect(blobHead.headers['content-length']).toBe('16');
    expect(origin.bodyBytes({ method: 'HEAD' })).toBe(0);
  });

  test('a compressed layer has the diff id of what it contains', async () => {
    const origin = await start();
    const gzipped = gzipSync(bytes);
    const { config, layers } = origin.addImage(repository, 'v1', { layers: [gzipped], format: 'docker' });
    const answer = await fetch(`${origin.url}/v2/${repository}/blobs/${config.digest}`);
    const diffId = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    expect(await answer.json()).toMatchObject({ architecture: 'amd64', rootfs: { diff_ids: [diffId] } });
    expect(layers[0]!.mediaType).toBe(mediaTypes.docker.gzippedLayer);
  });

  test('an index lists the images of its platforms', async () => {
    const origin = await start();
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    const image = origin.addImage(repository, undefined, { layers: [bytes], platform });
    origin.addIndex(repository, 'v1', [{ platform, image }]);
    const answer = await fetch(`${origin.url}/v2/${repository}/manifests/v1`);
    expect(answer.headers.get('content-type')).toBe(mediaTypes.oci.index);
    expect(await answer.json()).toMatchObject({ manifests: [{ ...image.manifest, platform }] });
  });

  test('a manifest may be addressed by sha512', async () => {
    const origin = await start();
    const { digest } = origin.addManifest(repository, { mediaType: mediaTypes.oci.index }, { algorithm: 'sha512' });
    expect(digest).toMatch(/^sha512:[0-9a-f]{128}$/);
    expect(await statusOf(`${origin.url}/v2/${repository}/manifests/${digest}`)).toBe(200);
  });

  test('tags move and disappear', async () => {
    const origin = await start();
    const { manifest: first } = origin.addImage(repository, 'v1', { layers: [] });
    const { manifest: second } = origin.addImage(repository, 'v2', { layers: [bytes] });
    const tagged = async () =>
      (await fetch(`${origin.url}/v2/${repository}/manifests/v1`)).headers.get('docker-content-digest');
    expect(await tagged()).toBe(first.digest);
    origin.setTag(repository, 'v1', second.digest);
    expect(await tagged()).toBe(second.digest);
    origin.removeTag(repository, 'v1');
    expect(await tagged()).toBeNull();
    origin.removeManifest(repository, second.digest);
    expect(await statusOf(`${origin.url}/v2/${repository}/manifests/v2`)).toBe(404);
  });

  test('a blob is served only in repositories that it was added or linked to', async () => {
    const origin = await start();
    const { digest } = origin.addBlob('team/one', bytes);
    const elsewhere = `${origin.url}/v2/team/two/blobs/${digest}`;
    expect(await (await fetch(elsewhere)).json()).toMatchObject({ errors: [{ code: 'BLOB_UNKNOWN' }] });
    origin.linkBlob('team/two', digest);
    expect(await statusOf(elsewhere)).toBe(200);
    origin.removeBlob('team/two', digest);
    expect(await statusOf(elsewhere)).toBe(404);
  });

  test.each([
    ['bytes=4-7', 206, '4567', 'bytes 4-7/16'],
    ['bytes=12-', 206, 'cdef', 'bytes 12-15/16'],
    ['bytes=-3', 206, 'def', 'bytes 13-15/16'],
    ['bytes=10-99', 206, 'abcdef', 'bytes 10-15/16'],
    ['bytes=16-', 416, '', 'bytes */16'],
    ['bytes=-0', 416, '', 'bytes */16'],
    ['bytes=7-4', 200, '0123456789abcdef', null],
    ['bytes=0-1,4-5', 200, '0123456789abcdef', null],
  ])('a blob asked for as %s answers %i', async (range, status, text, contentRange) => {
    const origin = await start();
    const { digest } = origin.addBlob(repository, bytes);
    const answer = await fetch(`${origin.url}/v2/${repository}/blobs/${digest}`, { headers: { range } });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-range')).toBe(contentRange);
    expect(await answer.text()).toBe(text);
  });

  test('a manifest that the client has already is answered 304', async () => {
    const origin = await start();
    const { manifest } = origin.addImage(repository, 'v1', { layers: [] });
    const headers = { 'if-none-match': `"${manifest.digest}"` };
    expect((await request(`${origin.url}/v2/${repository}/manifests/v1`, { headers })).statusCode).toBe(304);
  });

  test('tags are listed sorted and in pages', async () => {
    const origin = await start();
    origin.addImage(repository, ['c', 'a', 'b'], { layers: [] });
    const first = await fetch(`${origin.url}/v2/${repository}/tags/list?n=2`);
    expect(await first.json()).toEqual({ name: repository, tags: ['a', 'b'] });
    const next = /<(.*)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1];
    const second = await fetch(origin.url + next!);
    expect(await second.json()).toEqual({ name: repository, tags: ['c'] });
    expect(second.headers.get('link')).toBeNull();
    const none = await fetch(`${origin.url}/v2/${repository}/tags/list?n=0`);
    expect(await none.json()).toEqual({ name: repository, tags: [] });
    expect(none.headers.get('link')).toBeNull();
    expect(await statusOf(`${origin.url}/v2/no/such/tags/list`)).toBe(404);
  });
});

describe('generated blobs', () => {
  test('can be read at any offset, and are what their digest says', async () => {
    const origin = await start();
    const blob = await origin.addGeneratedBlob(repository, 3_000_001, 'seed');
    const whole = blob.read(0, blob.size);
    expect(`sha256:${createHash('sha256').update(whole).digest('hex')}`).toBe(blob.digest);
    for (const [start, end] of [
      [0, 1],
      [15, 33],
      [1_048_575, 1_048_593],
      [2_999_990, 3_000_001],
    ] as const) {
      expect(blob.read(start, end)).toEqual(whole.subarray(start, end));
    }
    expect((await origin.addGeneratedBlob(repository, 3_000_001, 'seed')).digest).toBe(blob.digest);
    expect((await origin.addGeneratedBlob(repository, 3_000_001, 'other')).digest).not.toBe(blob.digest);
  });

  test('64 MiB arrive intact, and what a slow reader does not take is not produced', async () => {
    const origin = await start();
    const size = 64 * 1024 * 1024;
    const blob = await origin.addGeneratedBlob(repository, size, 1);
    const { body } = await request(`${origin.url}/v2/${repository}/blobs/${blob.digest}`);
    const hash = createHash('sha256');
    let first = true;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (first) expect(origin.bodyBytes()).toBeLessThan(size / 2);
      first = false;
      hash.update(chunk);
    }
    expect(`sha256:${hash.digest('hex')}`).toBe(blob.digest);
    expect(origin.bodyBytes({ kind: 'blob' })).toBe(size);
  });

  test('can be the layer of an image', async () => {
    const origin = await start();
    const blob = await origin.addGeneratedBlob(repository, 1000, 7);
    const { layers } = origin.addImage(repository, 'v1', { layers: [blob] });
    expect(layers).toEqual([{ mediaType: mediaTypes.oci.layer, digest: blob.digest, size: 1000 }]);
  });
});

describe('tokens', () => {
  test('an anonymous token opens the repository of its scope and no other', async () => {
    const origin = await start({ auth: 'token' });
    const { layers } = origin.addImage(repository, 'v1', { layers: [bytes] });
    const blob = `${origin.url}/v2/${repository}/blobs/${layers[0]!.digest}`;
    expect(await statusOf(`${origin.url}/v2/`)).toBe(401);
    const token = await tokenFor(blob);
    expect(await statusOf(blob, token)).toBe(200);
    expect(await statusOf(`${origin.url}/v2/`, token)).toBe(200);

    const other = await fetch(`${origin.url}/v2/library/busybox/manifests/v1`, { headers: { authorization: token } });
    expect(other.status).toBe(401);
    expect(other.headers.get('www-authenticate')).toContain(
      'scope="repository:library/busybox:pull",error="insufficient_scope"',
    );
    expect(origin.count({ user: 'anonymous', scheme: 'bearer', status: 200 })).toBe(2);
  });

  test('a private repository opens to a user, and to another only if it was granted', async () => {
    const origin = await start({
      auth: 'token',
      users: { ann: 'secret', bob: 'hunter2' },
      privateRepositories: ['team/*'],
      grants: { bob: ['team/other'] },
    });
    origin.addImage('team/app', 'v1', { layers: [] });
    const url = `${origin.url}/v2/team/app/manifests/v1`;
    expect(await statusOf(url, await tokenFor(url))).toBe(401);
    expect(await statusOf(url, await tokenFor(url, basic('bob', 'hunter2')))).toBe(401);
    expect(await statusOf(url, await tokenFor(url, basic('ann', 'secret')))).toBe(200);
    expect(origin.count({ kind: 'manifest', user: 'ann' })).toBe(1);
    expect(origin.count({ kind: 'token', scheme: 'basic', user: 'bob', status: 200 })).toBe(1);
    expect(await statusOf(`${origin.url}/token`, basic('ann', 'wrong'))).toBe(401);
  });

  test('a token grows old by the clock of the test, or all of them at once', async () => {
    let now = 0;
    const origin = await start({ auth: 'token', tokenTtlSeconds: 300, now: () => now });
    origin.addImage(repository, 'v1', { layers: [] });
    const url = `${origin.url}/v2/${repository}/manifests/v1`;
    const first = await tokenFor(url);
    now = 299_999;
    expect(await statusOf(url, first)).toBe(200);
    now = 300_000;
    const expired = await fetch(url, { headers: { authorization: first } });
    expect(expired.status).toBe(401);
    expect(expired.headers.get('www-authenticate')).toContain('error="invalid_token"');
    const second = await tokenFor(url);
    origin.expireTokens();
    expect(await statusOf(url, second)).toBe(401);
  });

  test.each([
    [{ tokenField: 'token' }, ['token']],
    [{ tokenField: 'access_token' }, ['access_token']],
    [{ tokenField: 'both', tokenTtlSeconds: 300 }, ['token', 'access_token', 'expires_in', 'issued_at']],
  ] as const)('the answer of %j has the fields %j', async (options, fields) => {
    const origin = await start({ auth: 'token', ...options });
    const answer = await fetch(`${origin.url}/token?scope=repository:no/such:pull`);
    expect(Object.keys((await answer.json()) as object)).toEqual(fields);
  });

  test('the token endpoint may live on a port of its own, or be announced somewhere else', async () => {
    const origin = await start({ auth: 'token', separateTokenServer: true });
    origin.addImage(repository, 'v1', { layers: [] });
    const url = `${origin.url}/v2/${repository}/manifests/v1`;
    expect(await statusOf(url, await tokenFor(url))).toBe(200);
    expect(origin.count({ at: 'token', kind: 'token' })).toBe(1);

    const elsewhere = await start({ auth: 'token', realm: 'http://auth.test/token' });
    const challenge = (await fetch(`${elsewhere.url}/v2/`)).headers.get('www-authenticate');
    expect(challenge).toBe('Bearer realm="http://auth.test/token",service="registry.fake.test"');
  });

  test('Basic credentials are wanted with every request in that mode', async () => {
    const origin = await start({ auth: 'basic', users: { ann: 'pass:word' } });
    origin.addImage(repository, 'v1', { layers: [] });
    const url = `${origin.url}/v2/${repository}/manifests/v1`;
    const refused = await fetch(url);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toMatch(/^Basic realm=/);
    expect(await statusOf(url, basic('ann', 'wrong'))).toBe(401);
    expect(await statusOf(url, basic('ann', 'pass:word'))).toBe(200);
  });
});

describe('the CDN', () => {
  test('a blob is a redirect to another origin, which serves ranges', async () => {
    const origin = await start({ cdn: true });
    const { digest } = origin.addBlob(repository, bytes);
    const url = `${origin.url}/v2/${repository}/blobs/${digest}`;
    const answer = await fetch(url, { headers: { range: 'bytes=4-7' } });
    expect(answer.status).toBe(206);
    expect(await answer.text()).toBe('4567');
    expect(origin.requests.map(({ at, kind, status }) => [at, kind, status])).toEqual([
      ['registry', 'blob', 307],
      ['cdn', 'cdn', 206],
    ]);
    expect(origin.count({ kind: 'cdn', reference: digest, range: 'bytes=4-7' })).toBe(1);
  });

  test('it refuses an Authorization header, another method, and a URL that has expired', async () => {
    const origin = await start({ cdn: true });
    const { digest } = origin.addBlob(repository, bytes);
    const { headers } = await request(`${origin.url}/v2/${repository}/blobs/${digest}`);
    const location = String(headers['location']);
    expect(await statusOf(location, 'Bearer leaked')).toBe(400);
    expect(origin.count({ kind: 'cdn', scheme: 'bearer' })).toBe(1);
    expect((await request(location, { method: 'HEAD' })).statusCode).toBe(403);
    expect(await statusOf(location)).toBe(200);
    origin.expireCdnUrls();
    expect(await statusOf(location)).toBe(403);
  });
});

describe('the pull limit', () => {
  test('counts manifest GETs, tells the rest in HEADs, and answers 429 at the end', async () => {
    const origin = await start({ rateLimit: { limit: 100, remaining: 1, windowSeconds: 21600 } });
    origin.addImage(repository, 'v1', { layers: [] });
    const url = `${origin.url}/v2/${repository}/manifests/v1`;
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('ratelimit-limit')).toBe('100;w=21600');
    expect(head.headers.get('ratelimit-remaining')).toBe('1;w=21600');
    expect(await statusOf(url)).toBe(200);
    const refused = await fetch(url);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] });
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
    expect(origin.pullsRemaining).toBe(0);
    origin.setRateLimit(undefined);
    expect(await statusOf(url)).toBe(200);
  });

  test('does not count a pull that a fault answered', async () => {
    const origin = await start({ rateLimit: { limit: 100, remaining: 5, windowSeconds: 21600 } });
    origin.addImage(repository, 'v1', { layers: [] });
    origin.faults.add({ when: { kind: 'manifest' }, times: 1, do: { kind: 'status', status: 500 } });
    const url = `${origin.url}/v2/${repository}/manifests/v1`;
    expect([await statusOf(url), origin.pullsRemaining]).toEqual([500, 5]);
    expect([await statusOf(url), origin.pullsRemaining]).toEqual([200, 4]);
  });
});

describe('the record', () => {
  test('knows what was asked, by whom and how', async () => {
    const origin = await start();
    origin.addImage(repository, 'v1', { layers: [] });
    await request(`${origin.url}/v2/${repository}/manifests/v1?ns=docker.io`, {
      headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'tester' },
    });
    const [seen] = origin.requests;
    expect(seen).toMatchObject({
      at: 'registry',
      kind: 'manifest',
      method: 'GET',
      path: `/v2/${repository}/manifests/v1`,
      repository,
      reference: 'v1',
      scheme: 'none',
      accept: 'application/json',
      acceptEncoding: 'identity',
      status: 200,
    });
    expect(seen?.query.get('ns')).toBe('docker.io');
    expect(seen?.headers['user-agent']).toBe('tester');
    origin.resetCounters();
    expect(origin.requests).toEqual([]);
  });

  test('tells when requests have arrived, and never leaves a waiter behind', async () => {
    const origin = await start();
    const { digest } = origin.addBlob(repository, bytes);
    const url = `${origin.url}/v2/${repository}/blobs/${digest}`;
    const twoBlobs = origin.waitFor({ kind: 'blob' }, 2);
    await Promise.all([fetch(`${origin.url}/v2/`), fetch(url), fetch(url)]);
    expect((await twoBlobs).map(({ kind }) => kind)).toEqual(['blob', 'blob']);
    const never = expect(origin.waitFor({ kind: 'tags' })).rejects.toThrow('stopped after 0 of 1');
    await origin.stop();
    await never;
  });

  test('knows that a client left', async () => {
    const origin = await start();
    const { digest, size } = await origin.addGeneratedBlob(repository, 64 * 1024 * 1024, 1);
    const leave = new AbortController();
    await fetch(`${origin.url}/v2/${repository}/blobs/${digest}`, { signal: leave.signal });
    leave.abort();
    const [abandoned] = await origin.waitFor({ kind: 'blob', outcome: 'abandoned' });
    expect(abandoned!.bytesSent).toBeLessThan(size);
  });
});

describe('going away', () => {
  test('a killed registry refuses connections, and is revived at the same address', async () => {
    const origin = await start();
    const { url } = origin;
    await origin.kill();
    await expect(fetch(`${url}/v2/`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    await origin.revive();
    expect(await statusOf(`${url}/v2/`)).toBe(200);
  });

  test('another registry can take the port of a stopped one', async () => {
    const first = await start();
    await first.stop();
    const second = await start({ port: first.port });
    expect(second.url).toBe(first.url);
  });

  test('a silent server accepts and does not answer; an unused port refuses', async () => {
    const silent = await silentServer();
    const asked = expect(fetch(silent.url)).rejects.toThrow();
    await silent.connected(1);
    await silent.stop();
    await asked;
    const url = `http://127.0.0.1:${await unusedPort()}/`;
    await expect(fetch(url)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });
});
