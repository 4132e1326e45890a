import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

interface Raw {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Sends the path as it stands: `fetch` would tidy it up. */
function raw(daemon: Daemon, path: string, method = 'GET'): Promise<Raw> {
  const { hostname, port } = new URL(daemon.url);
  return new Promise((resolve, reject) => {
    const req = request({ hostname, port, path, method }, (res) => {
      let body = '';
      res.on('data', (piece: Buffer) => (body += piece.toString()));
      res.on('end', () => {
        resolve({ status: res.statusCode ?? 0, body, headers: res.headers });
      });
    });
    req.on('error', reject);
    req.end();
  });
}

const digest = `sha256:${'a'.repeat(64)}`;

test.each(
  [
    ['/v2/../../etc/passwd/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library/../app/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library%2Fapp/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library/app%2F..%2F..%2Fx/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library/app%00/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library/%zz/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/Library/App/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/library//app/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2//manifests/1.0', 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(10_000)}/manifests/1.0`, 400, 'NAME_INVALID'],
    [`/v2/${'a/'.repeat(5_000)}a/manifests/1.0`, 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(30_000)}/manifests/1.0`, 431, 'SIZE_INVALID'],
    ['/v2/library/app/manifests/.hidden', 400, 'TAG_INVALID'],
    ['/v2/library/app/manifests/%zz', 400, 'TAG_INVALID'],
    [`/v2/library/app/manifests/${'t'.repeat(129)}`, 400, 'TAG_INVALID'],
    ['/v2/library/app/manifests/sha256:abc', 400, 'DIGEST_INVALID'],
    [`/v2/library/app/manifests/md5:${'a'.repeat(32)}`, 400, 'DIGEST_INVALID'],
    [`/v2/library/app/blobs/sha256:${'A'.repeat(64)}`, 400, 'DIGEST_INVALID'],
    ['/v2/library/app/blobs/..%2f..%2f..%2fledger.db', 400, 'DIGEST_INVALID'],
    ['/v2/library/app/blobs/latest', 400, 'DIGEST_INVALID'],
    ['/v2/library/app/tags/list?n=-1', 400, 'PAGINATION_NUMBER_INVALID'],
    ['/v2/library/app/tags/list?n=1e99', 400, 'PAGINATION_NUMBER_INVALID'],
    ['/v2/_catalog?n=x', 400, 'PAGINATION_NUMBER_INVALID'],
    ['/v2/library/app/manifests/1.0?ns=evil.example', 404, 'NAME_UNKNOWN'],
    ['/v2/library/app/manifests/1.0?ns=127.0.0.1:22', 404, 'NAME_UNKNOWN'],
    ['/v2/library/app/manifests/1.0?ns=docker.io&ns=evil.example', 400, 'NAME_INVALID'],
    [`/v2/library/app/referrers/${digest}`, 404, 'UNSUPPORTED'],
    ['/v2/library/app/referrers/x', 400, 'DIGEST_INVALID'],
    ['/v2/library/app/uploads', 404, 'UNSUPPORTED'],
    ['/nothing/here', 404, 'UNSUPPORTED'],
  ].map(([path, status, code]) => ({ title: String(path).slice(0, 60), path: String(path), status, code })),
)('$title is answered $status $code and asks nobody', async ({ path, status, code }) => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const answer = await raw(daemon, path);
  expect([answer.status, answer.body.slice(0, 300)]).toEqual([status, expect.stringContaining(`"code":"${code}"`)]);
  const { errors } = JSON.parse(answer.body) as { errors: [{ code: string; message: string }] };
  expect(errors[0].message).not.toMatch(/\n\s+at /);
  expect(origin.requests).toEqual([]);
});

test.each([
  ['POST', '/v2/', 'GET, HEAD'],
  ['DELETE', '/v2/_catalog', 'GET, HEAD'],
  ['PUT', '/v2/library/app/tags/list', 'GET, HEAD'],
  ['POST', `/v2/library/app/manifests/${digest}`, 'GET, HEAD, PUT, DELETE'],
  ['PATCH', `/v2/library/app/blobs/${digest}`, 'GET, HEAD, DELETE'],
  ['POST', '/v2/local/app/blobs/uploads/id', 'GET, HEAD, PATCH, PUT, DELETE'],
  ['OPTIONS', '/v2/', 'GET, HEAD'],
  ['TRACE', `/v2/library/app/manifests/${digest}`, 'GET, HEAD, PUT, DELETE'],
])('%s %s is 405 UNSUPPORTED, says what is taken there, and loses nothing', async (method, path, allowed) => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const answer = await raw(daemon, path, method);
  expect([answer.status, namesIn(answer.headers['allow'])]).toEqual([405, namesIn(allowed)]);
  expect(answer.body).toContain('UNSUPPORTED');
  expect(origin.requests).toEqual([]);
});

function namesIn(allow: unknown): ReadonlySet<string> {
  return new Set(String(allow).split(', '));
}

const writes = [
  ['POST', 'blobs/uploads/'],
  ['PATCH', 'blobs/uploads/9c5b94b1-35ad-49bb-b118-8e8fc24abf80'],
  ['PUT', `blobs/uploads/9c5b94b1-35ad-49bb-b118-8e8fc24abf80?digest=${digest}`],
  ['DELETE', 'blobs/uploads/9c5b94b1-35ad-49bb-b118-8e8fc24abf80'],
  ['PUT', 'manifests/1.0'],
  ['DELETE', `manifests/${digest}`],
  ['DELETE', `blobs/${digest}`],
] as const;

test('without users nobody may write, what is hosted no more than what is mirrored, and is told what to do', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  for (const name of ['library/app', 'local/app']) {
    for (const [method, path] of writes) {
      const answer = await raw(daemon, `/v2/${name}/${path}`, method);
      expect([method, path, answer.status]).toEqual([method, path, 403]);
      expect(answer.body).toContain('"DENIED"');
      expect(answer.body).toContain('entrepot user add');
    }
  }
  expect(origin.requests).toEqual([]);
});

test('a push to what is not hosted here is denied and told where to go, whoever asks', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url, { access: { anonymous: { push: true } } });
  for (const [method, path] of writes) {
    const answer = await raw(daemon, `/v2/library/app/${path}`, method);
    expect([method, path, answer.status]).toEqual([method, path, 403]);
    expect(answer.body).toContain('"DENIED"');
    expect(answer.body).toContain('local/**');
  }
  expect(origin.requests).toEqual([]);
});

test.each(['test', 'local/app', 'local/deep/er/app', 'docker.io/local/app'])(
  'the private name %s is never asked of an upstream, by whatever route',
  async (name) => {
    await using origin = await FakeRegistry.start();
    origin.addImage('local/app', '1.0', { layers: [randomBytes(10)] });
    await using daemon = await Daemon.start(origin.url);
    for (const query of [
      '',
      ...(name === 'test' ? [] : ['?ns=docker.io', '?ns=index.docker.io', '?ns=registry-1.docker.io']),
    ]) {
      for (const [path, status, text] of [
        ['manifests/1.0', 404, 'MANIFEST_UNKNOWN'],
        [`manifests/${digest}`, 404, 'MANIFEST_UNKNOWN'],
        [`blobs/${digest}`, 404, 'BLOB_UNKNOWN'],
        // One that nobody ever pushed to has nothing.
        ['tags/list', 200, '"tags":[]'],
      ] as const) {
        const answer = await raw(daemon, `/v2/${name}/${path}${query}`);
        expect([path, answer.status, answer.body]).toEqual([path, status, expect.stringContaining(text)]);
      }
    }
    expect(origin.requests).toEqual([]);
  },
);

test('what is no HTTP at all gets a 400 and the connection is closed', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(Number(new URL(daemon.url).port), '127.0.0.1', () =>
      socket.write('\u0016\u0003\u0001 not http\r\n\r\n'),
    );
    socket.on('data', (piece) => (text += piece.toString()));
    socket.on('close', () => {
      resolve(text);
    });
  });
  expect(answer).toMatch(/^HTTP\/1.1 400 /);
  expect(answer).toContain('"errors"');
});

test('by ?ns= and by prefix it is the same canonical repository, and ?ns= is confirmed by OCI-Namespace', async () => {
  await using origin = await FakeRegistry.start();
  origin.addImage('library/app', '1.0', { layers: [randomBytes(10)] });
  await using daemon = await Daemon.start(origin.url);
  for (const path of [
    '/v2/library/app/manifests/1.0',
    '/v2/library/app/manifests/1.0?ns=docker.io',
    '/v2/app/manifests/1.0?ns=index.docker.io',
    '/v2/docker.io/library/app/manifests/1.0',
    '/v2/docker.io/app/manifests/1.0',
  ]) {
    const answer = await daemon.get(path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('oci-namespace')).toBe(new URL(path, daemon.url).searchParams.get('ns'));
  }
  expect(origin.count({ kind: 'manifest' })).toBe(1);
});

test('where anonymous clients may not pull, they get nothing and nothing is asked for them', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url, { access: { anonymous: { pull: false } } });
  expect((await daemon.get('/v2/')).status).toBe(200);
  for (const path of [
    '/v2/library/app/manifests/1.0',
    `/v2/library/app/blobs/${digest}`,
    '/v2/_catalog',
    '/v2/library/app/tags/list',
  ]) {
    const answer = await daemon.get(path);
    expect(answer.status).toBe(403);
    expect(await answer.json()).toMatchObject({ errors: [{ code: 'DENIED' }] });
  }
  expect(origin.requests).toEqual([]);
});

test('tags and catalog come in pages, whose links come back by the route they were asked', async () => {
  await using origin = await FakeRegistry.start();
  for (const tag of ['1.0', '1.1', '2.0']) origin.addImage('library/app', tag, { layers: [randomBytes(10)] });
  origin.addImage('library/zebra', '1.0', { layers: [randomBytes(10)] });
  await using daemon = await Daemon.start(origin.url);
  const first = await daemon.get('/v2/docker.io/library/app/tags/list?n=2');
  expect(await first.json()).toEqual({ name: 'docker.io/library/app', tags: ['1.0', '1.1'] });
  const link = /^<(.+)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
  expect(link).toMatch(/^\/v2\/docker\.io\/library\/app\/tags\/list\?/);
  expect(await (await daemon.get(link)).json()).toEqual({ name: 'docker.io/library/app', tags: ['2.0'] });
  expect(await (await daemon.get('/v2/library/app/tags/list?n=0')).json()).toEqual({ name: 'library/app', tags: [] });

  for (const name of ['app', 'zebra']) await daemon.get(`/v2/library/${name}/manifests/1.0`);
  const page = await daemon.get('/v2/_catalog?n=1');
  expect(await page.json()).toEqual({ repositories: ['library/app'] });
  expect(page.headers.get('link')).toBe('</v2/_catalog?n=1&last=library%2Fapp>; rel="next"');
  expect(await (await daemon.get('/v2/catalog?n=1&last=library%2Fapp')).json()).toEqual({
    repositories: ['library/zebra'],
  });
});
