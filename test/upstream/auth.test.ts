import { describe, expect, test } from 'vitest';
import { FakeRegistry, type FakeRegistryOptions, Gate, unusedPort } from '../support/fake-registry.ts';
import { ask, connect, digest, failureOf, name, opened, reference, serve, valueOf } from './support.ts';

const credentials = { username: 'team', password: 'pa:ss"wörd' };
const users = { team: credentials.password };
async function start(options: FakeRegistryOptions = {}) {
  const registry = await FakeRegistry.start({ auth: 'token', users, ...options });
  opened.push(registry);
  registry.addImage('library/alpine', 'latest', { layers: [Buffer.from('layer')] });
  registry.addImage('team/app', 'latest', { layers: [Buffer.from('secret layer')] });
  return registry;
}

describe('a token', () => {
  test('is asked for with service and scope, and brought along from the second request on', async () => {
    const registry = await start();
    const upstream = connect(registry.url);
    const head = valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(head.withCredentials).toBe(false);
    expect(registry.requests.map(({ kind, scheme }) => `${kind} ${scheme}`)).toEqual([
      'manifest none',
      'token none',
      'manifest bearer',
    ]);
    expect(registry.requests[1]?.query.getAll('scope')).toEqual(['repository:library/alpine:pull']);
    expect(registry.requests[1]?.query.get('service')).toBe('registry.fake.test');

    valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(registry.count()).toBe(4);
  });

  test('is fetched once for any number of concurrent askers', async () => {
    const registry = await start();
    const upstream = connect(registry.url);
    const heads = await Promise.all(Array.from({ length: 20 }, () => upstream.headManifest(name(), reference(), ask)));
    for (const head of heads) valueOf(head);
    expect(registry.count({ kind: 'token' })).toBe(1);
  });

  test('on its way is not lost when one of those who wait for it leaves', async () => {
    const registry = await start({ separateTokenServer: true });
    const gate = new Gate();
    registry.faults.add({ when: { kind: 'token' }, do: { kind: 'gate', gate } });
    const upstream = connect(registry.url);
    const leaver = new AbortController();
    const left = upstream.headManifest(name(), reference(), { ...ask, signal: leaver.signal });
    await gate.reached;
    const stayed = upstream.headManifest(name(), reference(), ask);
    leaver.abort();
    expect(failureOf(await left).kind).toBe('unavailable');
    gate.open();
    valueOf(await stayed);
    expect(registry.count({ kind: 'token' })).toBe(1);
  });

  test('is renewed shortly before it ends', async () => {
    const registry = await start({ tokenTtlSeconds: 300, tokenField: 'access_token' });
    const upstream = connect(registry.url);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    upstream.clock.pass(260);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(registry.count({ kind: 'token' })).toBe(1);
    upstream.clock.pass(20);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(registry.count({ kind: 'token' })).toBe(2);
    expect(registry.count({ kind: 'manifest', status: 401 })).toBe(1);
  });

  test.each([undefined, -5, 1e12, 'never', null])(
    'with expires_in %j is taken to live a minute',
    async (expires_in) => {
      const registry = await serve((request, response) => {
        if (request.url?.startsWith('/token')) return response.end(JSON.stringify({ token: 'abc', expires_in }));
        if (request.headers.authorization === 'Bearer abc') return response.end('{}');
        const realm = `http://${request.headers.host ?? ''}/token`;
        return response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
      });
      const upstream = connect(registry.url);
      const tokens = () => registry.paths.filter((path) => path?.startsWith('/token'));
      valueOf(await upstream.headManifest(name(), reference(), ask));
      upstream.clock.pass(50);
      valueOf(await upstream.headManifest(name(), reference(), ask));
      expect(tokens()).toEqual(['/token?scope=repository%3Alibrary%2Falpine%3Apull']);
      upstream.clock.pass(5);
      valueOf(await upstream.headManifest(name(), reference(), ask));
      expect(tokens()).toHaveLength(2);
    },
  );

  test('that the registry no longer takes is renewed once, for all who were refused', async () => {
    const registry = await start({ tokenTtlSeconds: 3_600 });
    const upstream = connect(registry.url);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    registry.expireTokens();
    registry.resetCounters();
    const heads = await Promise.all(Array.from({ length: 5 }, () => upstream.headManifest(name(), reference(), ask)));
    for (const head of heads) valueOf(head);
    expect(registry.count({ kind: 'token' })).toBe(1);
    expect(registry.count({ kind: 'manifest', status: 401 })).toBe(5);
  });

  test.each([400, 403])('that is old may be why the registry answers %i', async (status) => {
    const registry = await start({ tokenTtlSeconds: 3_600 });
    const upstream = connect(registry.url);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    registry.faults.add({ when: { kind: 'manifest' }, times: 1, do: { kind: 'status', status } });
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(registry.count({ kind: 'token' })).toBe(2);
  });

  test.each([401, 403])('that is fresh and refused with %i is a denial', async (status) => {
    const registry = await start({ tokenTtlSeconds: 3_600 });
    registry.faults.add({ when: { kind: 'manifest', scheme: 'bearer' }, do: { kind: 'status', status } });
    const upstream = connect(registry.url);
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('denied');
    expect(registry.count({ kind: 'token' })).toBe(1);
    // The second ask begins with the token of the first, which is not fresh any more.
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('denied');
    expect(registry.count({ kind: 'token' })).toBe(2);
  });

  test('never reaches the log', async () => {
    const registry = await start();
    const upstream = connect(registry.url, { credentials });
    valueOf(await upstream.headManifest(name('team/app'), reference(), ask));
    expect(upstream.logged()).toContain('/v2/team/app/manifests/latest');
    for (const { headers } of registry.requests) {
      if (headers.authorization !== undefined) expect(upstream.logged()).not.toContain(headers.authorization.slice(6));
    }
    expect(upstream.logged()).not.toMatch(/scope|authorization/i);
  });
});

describe('a token endpoint that gives none is no denial', () => {
  const answers = (body: object | string) => ({ kind: 'status', status: 200, body }) as const;
  test.each([
    [
      'refusing the account',
      { kind: 'status', status: 401, body: { details: 'incorrect username or password' } },
      /refused the configured account \(401\): incorrect/,
    ],
    ['forbidding the account', { kind: 'status', status: 403 }, /refused the configured account \(403\)/],
    ['not understanding', { kind: 'status', status: 400 }, /answered 400/],
    ['not there', { kind: 'status', status: 404 }, /answered 404/],
    ['in error', { kind: 'status', status: 500 }, /answered 500/],
    ['answering no JSON', answers('not json'), /without a usable token/],
    ['answering no token', answers({}), /without a usable token/],
    ['answering a header injection', answers({ token: 'a\r\nx: y' }), /without a usable token/],
    ['answering without end', answers({ token: 'a'.repeat(70_000) }), /without a usable token/],
    ['closing the connection', { kind: 'refuse' }, /closed the connection/],
    ['silent', { kind: 'hang' }, /did not answer/],
  ] as const)('%s', async (_, fault, reason) => {
    const registry = await start();
    registry.faults.add({ when: { kind: 'token' }, do: fault });
    const upstream = connect(registry.url, { credentials }, { limits: { tokenTimeoutMs: 300 } });
    const failure = failureOf(await upstream.headManifest(name(), reference(), ask));
    expect(failure.kind).toBe('unavailable');
    expect(failure.reason).toMatch(reason);
    expect(failure.reason).toContain(`${registry.url}/token`);
    expect(failure.reason).not.toContain('scope');
  });

  test('refusing an anonymous request', async () => {
    const registry = await start();
    registry.faults.add({ when: { kind: 'token' }, do: { kind: 'status', status: 401 } });
    const failure = failureOf(await connect(registry.url).headManifest(name(), reference(), ask));
    expect(failure).toMatchObject({ kind: 'unavailable' });
    expect(failure.reason).toMatch(/refused an anonymous request \(401\)/);
  });

  test('answering 429 is left alone until its time, and is the quota of its own', async () => {
    const registry = await start();
    const status = { kind: 'status', status: 429, headers: { 'retry-after': '30' } } as const;
    registry.faults.add({ when: { kind: 'token' }, times: 1, do: status });
    const upstream = connect(registry.url);
    expect(failureOf(await upstream.headManifest(name(), reference(), ask))).toMatchObject({
      kind: 'rate-limited',
      retryAfterSeconds: 30,
    });
    upstream.clock.pass(10);
    expect(failureOf(await upstream.headBlob(name(), digest(), ask))).toMatchObject({
      kind: 'rate-limited',
      retryAfterSeconds: 20,
    });
    expect(registry.count({ kind: 'token' })).toBe(1);
    upstream.clock.pass(21);
    valueOf(await upstream.headManifest(name(), reference(), ask));
  });

  test('that cannot be connected is not waited for by everybody', async () => {
    const registry = await start({ realm: `http://127.0.0.1:${await unusedPort()}/token` });
    const upstream = connect(registry.url);
    expect(failureOf(await upstream.headManifest(name(), reference(), ask)).reason).toMatch(/refuses connections/);
    expect(upstream.events.filter(({ kind }) => kind === 'token')).toHaveLength(3);
    const failure = failureOf(await upstream.headManifest(name(), reference(), ask));
    expect(failure.reason).toMatch(/not asked again for 5 s/);
    expect(upstream.events.filter(({ kind }) => kind === 'token')).toHaveLength(3);
    // The registry itself is well, and is heard again.
    expect(registry.count({ kind: 'manifest', status: 401 })).toBe(2);
  });

  test('is left when the registry names another one', async () => {
    let realm = `http://127.0.0.1:${await unusedPort()}/token`;
    const registry = await serve((request, response) => {
      if (request.url?.startsWith('/token')) return response.end('{"token":"abc"}');
      if (request.headers.authorization === 'Bearer abc') return response.end('{}');
      return response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
    });
    const upstream = connect(registry.url);
    expect(failureOf(await upstream.headManifest(name(), reference(), ask)).kind).toBe('unavailable');
    realm = `${registry.url}/token`;
    valueOf(await upstream.headManifest(name(), reference(), ask));
  });
});

describe('private stays private: the configured account', () => {
  test('opens private repositories, and the answer says so', async () => {
    const registry = await start({ privateRepositories: ['team/*'] });
    const upstream = connect(registry.url, { credentials });
    expect(valueOf(await upstream.headManifest(name('team/app'), reference(), ask)).withCredentials).toBe(true);
    expect(registry.count({ kind: 'token', user: 'team' })).toBe(1);
  });

  test('is left out of an anonymous ask, which never gets its token either', async () => {
    const registry = await start({ privateRepositories: ['team/*'], tokenTtlSeconds: 3_600 });
    const upstream = connect(registry.url, { credentials });
    valueOf(await upstream.headManifest(name('team/app'), reference(), ask));
    const anonymous = await upstream.headManifest(name('team/app'), reference(), { ...ask, anonymously: true });
    expect(failureOf(anonymous).kind).toBe('denied');
    expect(registry.requests.filter(({ user }) => user === 'team').map(({ kind }) => kind)).toEqual([
      'token',
      'manifest',
    ]);
    const open = await upstream.headManifest(name(), reference(), { ...ask, anonymously: true });
    expect(valueOf(open).withCredentials).toBe(false);
  });

  test('is withheld from a realm on another host, once with a warning', async () => {
    const other = await start();
    const evil = await start({ realm: `http://localhost:${other.port}/token` });
    const upstream = connect(evil.url, { credentials });
    for (let time = 0; time < 2; time++) {
      // The other registry's token opens nothing here. What matters is who was told what.
      expect(failureOf(await upstream.headManifest(name(), reference(), ask)).kind).toBe('denied');
    }
    expect(other.count({ kind: 'token', scheme: 'none' })).toBeGreaterThan(0);
    expect([other, evil].map((registry) => registry.count({ scheme: 'basic' }))).toEqual([0, 0]);
    expect(upstream.logged().match(/the configured account is withheld/g)).toHaveLength(1);
    expect(upstream.logged()).toContain(`http://localhost:${other.port}/token`);
  });

  test('is sent as Basic to an endpoint that asks for it, and only then', async () => {
    const registry = await start({ auth: 'basic' });
    const upstream = connect(registry.url, { credentials });
    expect(valueOf(await upstream.headManifest(name(), reference(), ask)).withCredentials).toBe(true);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(registry.requests.map(({ scheme }) => scheme)).toEqual(['none', 'basic', 'basic']);
  });

  test('refused as Basic is our trouble, no verdict; nobody being asked for it is one', async () => {
    const registry = await start({ auth: 'basic' });
    const wrong = connect(registry.url, { credentials: { ...credentials, password: 'old' } });
    const failure = failureOf(await wrong.headManifest(name(), reference(), ask));
    expect(failure).toMatchObject({ kind: 'unavailable' });
    expect(failure.reason).toMatch(/refused the configured account \(401\)/);
    expect(failureOf(await connect(registry.url).headManifest(name(), reference(), ask)).kind).toBe('denied');
  });

  test('does not follow a token endpoint that redirects to another origin', async () => {
    const thief = await serve((_, response) => response.end(JSON.stringify({ token: 'abc' })));
    const registry = await start();
    registry.faults.add({ when: { kind: 'token' }, do: { kind: 'redirect', to: `${thief.url}/token` } });
    const upstream = connect(registry.url, { credentials });
    expect(failureOf(await upstream.headManifest(name(), reference(), ask)).kind).toBe('denied');
    expect(thief.requests).toHaveLength(1);
    expect(thief.requests[0]?.headers.authorization).toBeUndefined();
  });
});

test('a realm that is no http URL is a wrong answer, and nothing is sent there', async () => {
  const registry = await start({ realm: 'ftp://127.0.0.1/token' });
  const failure = failureOf(await connect(registry.url, { credentials }).headManifest(name(), reference(), ask));
  expect(failure.kind).toBe('wrong-answer');
});

test('a 401 without a challenge is a denial', async () => {
  const registry = await serve((_, response) => response.writeHead(401).end());
  expect(failureOf(await connect(registry.url).headManifest(name(), reference(), ask)).kind).toBe('denied');
});
