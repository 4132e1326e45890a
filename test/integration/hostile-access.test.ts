import { randomUUID } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { basic } from '../support/access-site.ts';
import { type Daemon, dockerIo } from '../support/daemon.ts';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { mediaTypes } from '../support/fake-registry/image.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { account, LoginSite, users } from '../support/login-site.ts';
import { RawConnection, type RawOutcome } from '../support/raw-connection.ts';
import { challengeIn, manifestOf, type PushedImage, RegistryUser } from '../support/registry-user.ts';

const answerMs = 10_000;
const own = 'local/ann/app';
/** What is shorter, as some forged tokens are, may stand in any log. */
const minSecretLength = 8;
const nowhere = `sha256:${'0'.repeat(64)}`;

/** ann's private image and her upload under way, and what the disk and the log are to look like after an attack on them. */
class Target implements AsyncDisposable {
  readonly site: LoginSite;
  readonly image: PushedImage;
  readonly upload: string;
  readonly #before: readonly string[];
  /** Whatever must not be read in the log, beside what {@link LoginSite} knows. */
  readonly secrets: string[] = [];

  private constructor(site: LoginSite, parts: { image: PushedImage; upload: string; before: readonly string[] }) {
    this.site = site;
    this.image = parts.image;
    this.upload = parts.upload;
    this.#before = parts.before;
  }

  static async prepare(access: Readonly<Record<string, unknown>> = {}): Promise<Target> {
    const site = await LoginSite.start(access);
    const image = await site.ann.pushImage(own, '1.0', 'only for ann');
    await site.bob.pushBlob('local/b', Buffer.from('of bob'));
    const begun = await site.ann.ask('POST', `/v2/${own}/blobs/uploads/`);
    const upload = begun.headers.get('location')?.split('/').at(-1) ?? '';
    const patched = await site.ann.ask('PATCH', `/v2/${own}/blobs/uploads/${upload}`, { body: 'half of it' });
    expect(patched.status).toBe(202);
    return new Target(site, { image, upload, before: await contentOf(site.daemon) });
  }

  get daemon(): Daemon {
    return this.site.daemon;
  }

  /** A token of ann's for her repository, with which she can do anything to it. */
  async tokenOfAnn(): Promise<string> {
    const token = await this.site.ann.token(`repository:${own}:pull,push,delete`, 'registry:catalog:*');
    this.secrets.push(token);
    return token;
  }

  bearing(token: string): RegistryUser {
    this.secrets.push(token);
    return new RegistryUser(this.daemon, `Bearer ${token}`);
  }

  /** Everything that can be asked of ann's repository and its content. */
  requests(name = own): readonly (readonly [method: string, path: string, body?: string])[] {
    const { layer, manifest, bytes } = this.image;
    const base = `/v2/${name}`;
    const upload = `${base}/blobs/uploads/${this.upload}`;
    return [
      ['GET', `${base}/manifests/1.0`],
      ['HEAD', `${base}/manifests/${manifest}`],
      ['GET', `${base}/blobs/${layer}`],
      ['HEAD', `${base}/blobs/${layer}`],
      ['GET', `${base}/tags/list`],
      ['GET', `${base}/referrers/${manifest}`],
      ['POST', `${base}/blobs/uploads/`],
      ['POST', `${base}/blobs/uploads/?digest=${digestOfBytes(Buffer.from('mine'))}`, 'mine'],
      ['POST', `${base}/blobs/uploads/?mount=${layer}&from=local/b`],
      ['GET', upload],
      ['PATCH', upload, 'the other half'],
      ['PUT', `${upload}?digest=${digestOfBytes(Buffer.from('half of it'))}`],
      ['DELETE', upload],
      ['PUT', `${base}/manifests/2.0`, bytes.toString()],
      ['PUT', `${base}/manifests/${manifest}?tag=2.0`, bytes.toString()],
      ['DELETE', `${base}/manifests/1.0`],
      ['DELETE', `${base}/manifests/${manifest}`],
      ['DELETE', `${base}/blobs/${layer}`],
    ];
  }

  /** Asserts that none of them is answered with anything else. */
  async refuses(who: RegistryUser, status: number, { name = own, what = '' } = {}): Promise<void> {
    for (const [method, path, body] of this.requests(name)) {
      const answer = await who.ask(method, path, body === undefined ? {} : { body });
      expect(answer.status, `${what} ${method} ${path}`).toBe(status);
      expect(answer.body).not.toContain('only for ann');
    }
  }

  /** Asserts that nothing was written, that nothing went wrong inside, and that the log can be shown to anybody. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      expect(await contentOf(this.daemon)).toEqual(this.#before);
      expect((await this.site.ann.ask('GET', `/v2/${own}/manifests/1.0`)).status).toBe(200);
      expect((await this.site.ann.ask('GET', `/v2/${own}/blobs/uploads/${this.upload}`)).status).toBe(204);
      const { log } = this.daemon;
      expect(log.filter(({ status }) => typeof status === 'number' && status >= 500)).toEqual([]);
      expect(log.filter(({ level }) => level === 'error' || level === 50)).toEqual([]);
      await this.#expectNoSecretLogged();
      const asked = this.site.origin.requests.filter(({ path }) => path.includes('/local/'));
      expect(asked).toEqual([]);
    } finally {
      await this.site[Symbol.asyncDispose]();
    }
  }

  async #expectNoSecretLogged(): Promise<void> {
    const text = JSON.stringify(this.daemon.log);
    const key = await readFile(join(this.daemon.dataPath, 'token.key')).catch(() => undefined);
    const passwords = [...Object.values(users), account.password];
    const basics = Object.entries(users).map(([user, password]) => basic(user, password).slice('Basic '.length));
    const ofKey = key === undefined ? [] : [key.toString('hex'), key.toString('base64'), key.toString('base64url')];
    for (const secret of [...passwords, ...basics, ...ofKey, ...this.secrets]) {
      if (secret.length >= minSecretLength) expect(text.includes(secret), `a secret in the log: ${secret}`).toBe(false);
    }
    expect(text).not.toMatch(/Bearer [\w-]{8}|Basic [\w+/]{8}/);
  }
}

/** Paths and sizes below everything that a push writes to. */
async function contentOf({ dataPath }: Daemon): Promise<readonly string[]> {
  const found: string[] = [];
  for (const place of ['hosted', 'uploads', 'blobs', 'incoming', 'partial']) {
    const entries = await readdir(join(dataPath, place), { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      found.push(entry.isFile() ? `${path} ${(await stat(path)).size}` : path);
    }
  }
  return found.map((path) => path.slice(dataPath.length)).sort();
}

/** The answer to a request of which every byte is chosen here. */
async function raw(daemon: Daemon, head: string): Promise<RawOutcome> {
  using connection = new RawConnection(daemon.url, answerMs);
  const bytes = Buffer.from(`${head}\r\n\r\n`, 'latin1');
  return await connection.exchange({ bytes, isHead: head.startsWith('HEAD'), thenEnd: false });
}

function statusOf(outcome: RawOutcome): number | string {
  return typeof outcome === 'string' ? outcome : outcome.status;
}

/** What two answers may differ in, and the name of the repository, left out. */
function comparable(answer: Awaited<ReturnType<RegistryUser['ask']>>, name: string, digest = '-'): string {
  const headers = [...answer.headers].filter(
    ([header]) => !['date', 'x-request-id', 'content-length'].includes(header),
  );
  return JSON.stringify([answer.status, headers, answer.body]).replaceAll(name, 'NAME').replaceAll(digest, 'DIGEST');
}

test('forged, cut, expired and foreign tokens open nothing', async () => {
  await using target = await Target.prepare();
  const genuine = await target.tokenOfAnn();
  const [head = '', body = '', signature = ''] = genuine.split('.');
  const payload = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
  const key = await readFile(join(target.daemon.dataPath, 'token.key'));
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = { alg: 'HS256', typ: 'at+jwt' };
  const signed = (claims: Record<string, unknown>, secret: Uint8Array = key) =>
    new SignJWT(claims).setProtectedHeader(header).sign(secret);
  const past = Math.floor(Date.now() / 1000) - 3600;
  // The crafting itself is right: only what is changed makes the others worthless.
  const crafted = target.bearing(await signed(payload));
  expect((await crafted.ask('GET', `/v2/${own}/manifests/1.0`)).status).toBe(200);

  for (const [what, token] of [
    ['alg none', `${encoded({ ...header, alg: 'none' })}.${body}.`],
    ['alg none with the signature', `${encoded({ ...header, alg: 'none' })}.${body}.${signature}`],
    ['the signature cut', `${head}.${body}.${signature.slice(0, -4)}`],
    ['no signature', `${head}.${body}.`],
    ['another body', `${head}.${encoded({ ...payload, exp: 4_102_444_800 })}.${signature}`],
    ['another key', await signed(payload, new Uint8Array(32))],
    ['the empty key', await signed(payload, new Uint8Array(32).fill(32))],
    ['expired', await signed({ ...payload, iat: past, exp: past + 300 })],
    ['another user', await signed({ ...payload, sub: 'bob' })],
    ['a user that never was', await signed({ ...payload, sub: 'eve' })],
    ['a machine token that never was', await signed({ ...payload, machine: '01234567' })],
    ['another service', await signed({ ...payload, aud: 'registry.docker.io' })],
    ['no JWT', 'x.y.z'],
    ['text', 'token'],
  ] as const) {
    const who = target.bearing(token);
    await target.refuses(who, 401, { what });
    const ping = await who.ask('GET', '/v2/');
    expect(ping.status, what).toBe(401);
    expect(challengeIn(ping)['error'], what).toBe('invalid_token');
    expect((await who.ask('GET', '/v2/_catalog')).status, what).toBe(401);
    expect((await who.ask('GET', '/token')).status, what).toBe(401);
  }
});

test('a token is good for its repository, its action and its user, and for nothing else', async () => {
  await using target = await Target.prepare();
  const { site, image } = target;
  for (const scope of [
    'repository:local/ann/other:pull,push,delete',
    'repository:local/ann:pull,push,delete',
    'repository:local/ann/app/:pull,push,delete',
    'repository:local/ann/**:pull,push,delete',
    'repository:*:*',
    'repository:docker.io/local/ann/app:*',
    'registry:catalog:*',
    'repository(plugin):local/ann/other:*',
    'repository:local/ann/app',
    'repository:LOCAL/ANN/APP:*',
    'repository:local/ann/app:PULL,PUSH',
    'repository::pull',
    'repository:local/ann/app\u0000:pull,push',
    'repository:local/ann/app"x:pull',
    'x:local/ann/app:*',
    '',
  ]) {
    await target.refuses(target.bearing(await site.ann.token(scope)), 401, { what: scope });
  }
  const puller = target.bearing(await site.ann.token(`repository:${own}:pull`));
  const isRead = (method: string, path: string) => ['GET', 'HEAD'].includes(method) && !path.includes('/uploads/');
  for (const [method, path, body] of target.requests()) {
    const { status } = await puller.ask(method, path, body === undefined ? {} : { body });
    expect(status, `${method} ${path}`).toBe(isRead(method, path) ? 200 : 401);
  }
  // Nor does it bring a blob over by looking for it.
  const other = digestOfBytes(Buffer.from('of bob'));
  expect((await puller.ask('HEAD', `/v2/${own}/blobs/${other}`)).status).toBe(404);
  const pusher = target.bearing(await site.ann.token(`repository:${own}:pull,push`));
  for (const path of [`manifests/1.0`, `manifests/${image.manifest}`, `blobs/${image.layer}`]) {
    expect((await pusher.ask('DELETE', `/v2/${own}/${path}`)).status).toBe(401);
  }
  // What bob asks for is bob's, whatever it says of ann.
  await target.refuses(target.bearing(await site.bob.token(`repository:${own}:*`)), 404);
  await target.refuses(site.bob, 404);
  await target.refuses(target.bearing(await site.anonymous.token(`repository:${own}:*`)), 401);
  await target.refuses(site.anonymous, 401);
  for (const name of [
    'docker.io/local/ann/app',
    'index.docker.io/local/ann/app',
    'docker.io/docker.io/local/ann/app',
  ]) {
    await target.refuses(site.anonymous, 401, { name });
    await target.refuses(site.bob, 404, { name });
  }
});

test.each([
  ['too long for a header', `Bearer ${'a'.repeat(20_000)}`, 431],
  ['too long for a token', `Bearer ${'a'.repeat(13_000)}`, 401],
  ['a long token', `Bearer ${'a'.repeat(9_000)}`, 401],
  ['a long password', `Basic ${Buffer.from(`ann:${'p'.repeat(8_000)}`).toString('base64')}`, 401],
  ['no base64', 'Basic !!!', 401],
  ['half of base64', 'Basic YW5', 401],
  ['no colon', `Basic ${Buffer.from('ann').toString('base64')}`, 401],
  ['nothing but a colon', `Basic ${Buffer.from(':').toString('base64')}`, 401],
  ['a NUL in the name', `Basic ${Buffer.from('ann\0:ann-password').toString('base64')}`, 401],
  ['a NUL behind the password', `Basic ${Buffer.from('ann:ann-password\0').toString('base64')}`, 401],
  ['a NUL within the password', `Basic ${Buffer.from('ann:\0ann-password').toString('base64')}`, 401],
  ['bytes that are no UTF-8', `Basic ${Buffer.from([0x61, 0xff, 0xfe, 0x3a, 0xc3, 0x28]).toString('base64')}`, 401],
  ['a line end in the name', `Basic ${Buffer.from('ann\r\n:x').toString('base64')}`, 401],
  ['the name of a prototype', `Basic ${Buffer.from('__proto__:x').toString('base64')}`, 401],
  ['another scheme', 'Negotiate YWJj', 401],
  ['a scheme alone', 'Basic', 401],
  ['two schemes', 'Basic Bearer abc', 401],
  ['high bytes', 'Bearer \xff\xfe\x80', 401],
  ['a NUL byte', 'Bearer a\0b', 400],
  ['a bare line feed', 'Bearer a\nX-Injected: 1', 400],
])('an Authorization with %s is refused, and breaks nothing', async (_, authorization, status) => {
  await using target = await Target.prepare();
  for (const path of ['/v2/', `/v2/${own}/manifests/1.0`, '/token?scope=repository:local/a:push', '/token']) {
    const outcome = await raw(target.daemon, `GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}`);
    expect(statusOf(outcome), path).toBe(status);
  }
  target.secrets.push(...(authorization.length > 30 ? [authorization.slice(7, 60)] : []));
});

test.each([
  ['quotes', 'a"b'],
  ['a quoted parameter', 'evil",realm="http://evil.lan/token'],
  ['a path', 'evil.lan/x'],
  ['a user', 'user@evil.lan'],
  ['an angle bracket', '<script>'],
  ['a comma', 'a,b'],
  ['a space', 'a b'],
  ['high bytes', 'a\xff'],
  ['a backslash', 'a\\b'],
  ['a port that is none', 'a:b'],
  ['far too much', 'a'.repeat(5_000)],
])('a Host with %s is not repeated in the challenge', async (_, host) => {
  await using target = await Target.prepare();
  const outcome = await raw(target.daemon, `GET /v2/ HTTP/1.1\r\nHost: ${host}`);
  if (typeof outcome === 'string' || outcome.status === 400) return;
  expect(outcome.status).toBe(401);
  expect(outcome.headers.get('www-authenticate')).toBe(`Bearer realm="${target.daemon.url}/token",service="entrepot"`);
});

test('nothing that a client writes becomes a header of the answer', async () => {
  await using target = await Target.prepare();
  const get = (path: string, more = '') => raw(target.daemon, `GET ${path} HTTP/1.1\r\nHost: a${more}`);
  for (const path of [
    '/v2/local/ann/app%0d%0aX-Injected:%201/manifests/1.0',
    '/v2/local/ann/app/manifests/1.0%0d%0aX-Injected:%201',
    '/v2/local/ann/app"%2cscope="x/manifests/1.0',
    '/v2/local/ann/app/manifests/1.0?ns=docker.io%0d%0aX-Injected:%201',
    '/v2/_catalog?n=1&last=%0d%0aX-Injected:%201',
    '/v2/local/b/tags/list?n=1&last=%0d%0aX-Injected:%201',
    '/token?service=%0d%0aX-Injected:%201&scope=repository:a%0d%0aX-Injected:%201:pull',
  ]) {
    const outcome = await get(path);
    if (typeof outcome === 'string') throw new Error(`${path}: ${outcome}`);
    expect(outcome.headers.has('x-injected'), path).toBe(false);
    expect(outcome.headers.get('www-authenticate') ?? '').not.toMatch(/x-injected|scope="[^"]*",scope=/i);
    expect(outcome.status, path).toBeLessThan(500);
  }
  const forwarded = await get('/v2/', '\r\nX-Forwarded-Host: evil.lan\r\nX-Forwarded-Proto: https');
  if (typeof forwarded === 'string') throw new Error(forwarded);
  expect(forwarded.headers.get('www-authenticate')).toContain('realm="http://a/token"');
});

test('odd scopes and forms get a token that opens nothing, or a clear refusal', async () => {
  await using target = await Target.prepare();
  const { anonymous } = target.site;
  for (const scope of [
    ' ',
    ':',
    '::',
    ':::::::',
    'repository',
    'repository:a',
    `repository:${'a'.repeat(600)}:pull`,
    'repository:../../etc/passwd:pull',
    'repository:a\u0000b:pull',
    'repository:\ud800:pull',
    'repository:__proto__:constructor',
    `repository:${own}:${'pull,'.repeat(500)}`,
  ]) {
    const answer = await anonymous.askToken(scope);
    expect(answer.status, scope).toBe(200);
    await target.refuses(target.bearing((JSON.parse(answer.body) as { token: string }).token), 401, { what: scope });
  }
  const many = Array.from({ length: 40 }, (_, index) => `repository:local/r${index}:pull`);
  expect((await anonymous.askToken(...many)).status).toBe(400);
  expect((await anonymous.askToken(`repository:${'a/'.repeat(3_000)}:pull`)).status).toBe(400);
  for (const [body, status] of [
    ['', 400],
    ['{"grant_type":"password"}', 400],
    ['grant_type=password', 400],
    ['grant_type=authorization_code&code=x', 400],
    ['grant_type=password&username=ann&password=%00', 401],
    ['grant_type=password&username=%ff%fe&password=x', 401],
    ['grant_type=password&username=eve&username=ann&password=x&password=ann-password', 401],
    ['x'.repeat(70_000), 400],
  ] as const) {
    const answer = await anonymous.ask('POST', '/token', { body });
    expect(answer.status, body.slice(0, 80)).toBe(status);
    expect(answer.headers.get('set-cookie')).toBeNull();
  }
  for (const method of ['PUT', 'DELETE', 'PATCH']) expect((await anonymous.ask(method, '/token')).status).toBe(405);
});

test('X-Forwarded-For of a peer that nobody trusts does not put it into a network', async () => {
  const network = { repositories: ['local/ann/**'], pull: ['ann', 'net:10.0.0.0/8'], push: ['ann', 'net:10.0.0.0/8'] };
  await using target = await Target.prepare({ rules: [network] });
  for (const name of ['X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'X-Client-IP', 'True-Client-IP']) {
    const value = name === 'Forwarded' ? 'for=10.1.2.3' : '10.1.2.3';
    for (const [method, path, body] of target.requests()) {
      const sent = { headers: { [name]: value }, ...(body === undefined ? {} : { body }) };
      expect((await target.site.anonymous.ask(method, path, sent)).status, `${name} ${method} ${path}`).toBe(401);
    }
  }
  // From a proxy that is trusted it does.
  await target.daemon.reload({ listen: { host: '127.0.0.1', port: 0, trustedProxies: ['127.0.0.1'] } });
  const path = `/v2/${own}/manifests/1.0`;
  const from = async (chain: string) =>
    (await target.site.anonymous.ask('GET', path, { headers: { 'X-Forwarded-For': chain } })).status;
  expect(await from('10.1.2.3')).toBe(200);
  expect(await from('10.1.2.3, 192.168.1.1')).toBe(401);
});

test('an upload is good for the repository it was begun in, whoever knows its id', async () => {
  await using target = await Target.prepare();
  const { site, upload } = target;
  const half = digestOfBytes(Buffer.from('half of it'));
  // ann herself, and bob where he may push.
  for (const who of [site.ann, site.bob]) {
    for (const id of [
      upload,
      randomUUID(),
      '..%2f..%2fhosted',
      `${upload}-sha512`,
      upload.toUpperCase(),
      `${upload}%00`,
    ]) {
      const path = `/v2/local/b/blobs/uploads/${id}`;
      for (const [method, query] of [
        ['GET', ''],
        ['PATCH', ''],
        ['PUT', `?digest=${half}`],
        ['DELETE', ''],
      ] as const) {
        const answer = await who.ask(method, `${path}${query}`, method === 'PATCH' ? { body: 'x' } : {});
        expect(answer.status, `${method} ${path}`).toBe(404);
      }
    }
  }
});

test('a blob of another user’s is nowhere for whoever guesses its digest', async () => {
  await using target = await Target.prepare();
  const { site, image } = target;
  site.origin.addImage('library/app', '1.0', { layers: [Buffer.from('public')] });
  const [config, configSize] = [digestOfBytes(Buffer.from('of bob')), Buffer.from('of bob').length];
  for (const who of [site.bob, target.bearing(await site.bob.token('repository:local/b:pull,push,delete'))]) {
    for (const name of ['local/b', 'local/new', 'docker.io/local/b']) {
      const compare = async (method: string, path: (digest: string) => string, status: number) => {
        if (name !== 'local/b' && who !== site.bob) return;
        const [there, missing] = [
          await who.ask(method, `/v2/${name}/${path(image.layer)}`),
          await who.ask(method, `/v2/${name}/${path(nowhere)}`),
        ];
        expect(there.status, `${method} ${path(image.layer)}`).toBe(status);
        expect(comparable(there, name, image.layer)).toBe(comparable(missing, name, nowhere));
      };
      await compare('GET', (digest) => `blobs/${digest}`, 404);
      await compare('HEAD', (digest) => `blobs/${digest}`, 404);
      await compare('GET', (digest) => `manifests/${digest}`, 404);
      await compare('DELETE', (digest) => `blobs/${digest}`, 404);
      await compare('DELETE', (digest) => `manifests/${digest}`, 404);
      await compare('GET', (digest) => `referrers/${digest}`, 200);
    }
    for (const digest of [image.layer, nowhere]) {
      const bytes = manifestOf([config, configSize], [digest, 'only for ann'.length]);
      const answer = await who.putManifest('local/b', 'thief', bytes);
      expect(answer).toMatchObject({ status: 404, code: 'MANIFEST_BLOB_UNKNOWN' });
      expect(answer.body).toBe(
        JSON.stringify({
          errors: [
            {
              code: 'MANIFEST_BLOB_UNKNOWN',
              message: `the manifest needs what was not pushed to this repository: ${digest}`,
              detail: [{ digest }],
            },
          ],
        }),
      );
    }
    for (const child of [image.manifest, nowhere]) {
      const index = JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.oci.index,
        manifests: [{ mediaType: mediaTypes.oci.manifest, digest: child, size: image.bytes.length }],
      });
      const headers = { 'content-type': mediaTypes.oci.index };
      const answer = await who.ask('PUT', '/v2/local/b/manifests/thief', { body: index, headers });
      expect(answer).toMatchObject({ status: 404, code: 'MANIFEST_BLOB_UNKNOWN' });
    }
  }
  // Nor is it in a repository of the upstream, which is asked and says no.
  for (const path of [`blobs/${image.layer}`, `blobs/${nowhere}`, `manifests/${image.manifest}`]) {
    for (const method of ['GET', 'HEAD']) {
      expect((await site.anonymous.ask(method, `/v2/library/app/${path}`)).status, path).toBe(404);
    }
  }
  await expectNoTrace(site, image);
});

test.each([
  ['with', { auth: 'token', privateRepositories: ['library/app'] }],
  ['without', { auth: 'none', privateRepositories: [] }],
] as const)(
  'nor can the difference be seen with an upstream that has no account here, %s repositories that it denies',
  async (_, upstream) => {
    await using origin = await FakeRegistry.start({
      ...upstream,
      privateRepositories: [...upstream.privateRepositories],
    });
    origin.addImage('library/app', '1.0', { layers: [Buffer.from('layer')] });
    await using site = await LoginSite.start();
    await site.daemon.reload(dockerIo(origin.url));
    await expectNoTrace(site, await site.ann.pushImage(own, '1.0', 'only for ann'));
  },
);

test('nor can the difference be seen while the upstream is away', async () => {
  await using site = await LoginSite.start();
  const image = await site.ann.pushImage(own, '1.0', 'only for ann');
  await site.origin.kill();
  // From now on it is known to be away.
  expect((await site.anonymous.ask('GET', '/v2/library/app/manifests/1.0')).status).toBe(503);
  await expectNoTrace(site, image);
});

/** Asserts that upstream repositories answer alike for what is hosted elsewhere and what is nowhere. */
async function expectNoTrace({ anonymous, bob }: LoginSite, { layer, manifest }: PushedImage): Promise<void> {
  for (const who of [anonymous, bob]) {
    for (const name of ['library/app', 'library/new']) {
      for (const [what, digest] of [
        ['blobs', layer],
        ['blobs', manifest],
        ['manifests', manifest],
        ['manifests', layer],
      ] as const) {
        const [there, missing] = [
          await who.ask('GET', `/v2/${name}/${what}/${digest}`),
          await who.ask('GET', `/v2/${name}/${what}/${nowhere}`),
        ];
        expect(comparable(there, name, digest)).toBe(comparable(missing, name, nowhere));
      }
    }
  }
}

test('bytes that are somebody else’s cannot be claimed by their digest', async () => {
  await using target = await Target.prepare();
  const { bob } = target.site;
  for (const digest of [target.image.layer, nowhere]) {
    const begun = await bob.ask('POST', '/v2/local/b/blobs/uploads/');
    const claimed = await bob.ask('PUT', `${begun.headers.get('location') ?? ''}?digest=${digest}`);
    expect(claimed).toMatchObject({ status: 400, code: 'DIGEST_INVALID' });
    expect((await bob.ask('POST', `/v2/local/b/blobs/uploads/?digest=${digest}`)).status).toBe(400);
    expect((await bob.ask('HEAD', `/v2/local/b/blobs/${digest}`)).status).toBe(404);
  }
});

test('a mount from where one may not pull begins an upload, just as one of what is nowhere', async () => {
  const target = await Target.prepare();
  const { site, image } = target;
  const base = '/v2/local/b/blobs/uploads/?mount=';
  for (const query of [
    `${image.layer}&from=${own}`,
    `${image.layer}&from=docker.io/${own}`,
    `${image.layer}&from=local/b/../ann/app`,
    `${image.layer}&from=${encodeURIComponent('local/ann%2fapp')}`,
    `${image.layer}&from=${own}&from=local/b`,
    `${image.layer}&from=`,
    `${image.layer}&from=/`,
    `${image.layer}&from=${own}&ns=docker.io`,
    image.layer,
    `${image.manifest}&from=${own}`,
    `${nowhere}&from=${own}`,
    `${nowhere}&from=local/none`,
  ]) {
    const answer = await site.bob.ask('POST', `${base}${query}`);
    expect(answer.status, query).toBe(202);
    const location = answer.headers.get('location') ?? '';
    expect((await site.bob.ask('DELETE', location)).status).toBe(204);
  }
  expect((await site.bob.ask('POST', `${base}sha256:x&from=${own}`)).status).toBe(400);
  await target[Symbol.asyncDispose]();
});

test('a protected repository answers as one that does not exist', async () => {
  await using target = await Target.prepare();
  const { site } = target;
  const none = 'local/ann/none';
  const token = target.bearing(await site.bob.token(`repository:${own}:*`, `repository:${none}:*`));
  for (const who of [site.anonymous, site.bob, token]) {
    const missing = target.requests(none);
    for (const [index, [method, path, body]] of target.requests().entries()) {
      const sent = body === undefined ? {} : { body };
      const there = await who.ask(method, path, sent);
      const [, otherPath = ''] = missing[index] ?? [];
      const other = await who.ask(method, otherPath, sent);
      expect(comparable(there, own), `${method} ${path}`).toBe(comparable(other, none));
    }
  }
});

test('a manifest asked for by the digest of a blob is not there, and nothing is called damaged', async () => {
  await using target = await Target.prepare();
  const { ann } = target.site;
  for (const digest of [target.image.layer, target.image.config]) {
    expect(await ann.ask('GET', `/v2/${own}/manifests/${digest}`)).toMatchObject({
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    });
  }
  expect((await ann.ask('GET', `/v2/${own}/blobs/${target.image.layer}`)).status).toBe(200);
});

test('wrong passwords are slowed for the user and the address that try them, and for nobody else', async () => {
  await using target = await Target.prepare();
  const { site, daemon } = target;
  await daemon.reload({ listen: { host: '127.0.0.1', port: 0, trustedProxies: ['127.0.0.1'] } });
  const attempt = (user: string, password: string, address: string, path = '/v2/') => {
    target.secrets.push(password);
    return RegistryUser.named(daemon, user, password).ask('GET', path, { headers: { 'X-Forwarded-For': address } });
  };
  for (let index = 0; index < 5; index++) {
    const [known, unknown] = [
      await attempt('ann', `guessed-wrong-${index}`, '10.0.0.1'),
      await attempt('eve', `guessed-wrong-${index}`, '10.0.0.1'),
    ];
    expect(known.status).toBe(401);
    expect(comparable(known, 'ann')).toBe(comparable(unknown, 'eve'));
  }
  for (const path of ['/v2/', '/token', `/v2/${own}/manifests/1.0`, '/token?scope=repository:local/a:push']) {
    const slowed = await attempt('ann', 'guessed-once-more', '10.0.0.1', path);
    expect(slowed, path).toMatchObject({ status: 429, code: 'TOOMANYREQUESTS' });
    expect(Number(slowed.headers.get('retry-after'))).toBeGreaterThan(0);
  }
  // The same wrong one again is no guess, what is remembered as right is let in, and others are not concerned.
  expect((await attempt('ann', 'guessed-wrong-0', '10.0.0.1')).status).toBe(401);
  expect((await attempt('ann', users.ann, '10.0.0.1')).status).toBe(200);
  expect((await attempt('ann', 'guessed-from-elsewhere', '10.0.0.2')).status).toBe(401);
  expect((await attempt('bob', 'guessed-of-bob', '10.0.0.1')).status).toBe(401);
  expect((await site.bob.ask('GET', '/v2/', { headers: { 'X-Forwarded-For': '10.0.0.1' } })).status).toBe(200);
  // Pulls of engines with credentials of another registry go on.
  const engine = await attempt('ann', 'password-at-the-hub', '10.0.0.1', '/token?scope=repository:library/app:pull');
  expect(engine.status).toBe(200);
});

test('more checks of passwords than there is room for is 429 at the token endpoint, and no server error', async () => {
  await using target = await Target.prepare();
  const body = (index: number) =>
    new URLSearchParams({ grant_type: 'password', username: `eve${index}`, password: 'x' }).toString();
  const statuses = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const { status } = await target.site.anonymous.ask('POST', '/token', { body: body(index) });
      return status;
    }),
  );
  expect(new Set(statuses)).toEqual(new Set([401, 429]));
});
