import { describe, expect, test } from 'vitest';
import type { UpstreamFailure } from '../../src/mirror/failure.ts';
import { verdictOf } from '../../src/upstream/verdict.ts';
import { FakeRegistry, type Fault, pullLimitReached, silentServer } from '../support/fake-registry.ts';
import { ask, connect, failureOf, millisecondsOf, name, opened, reference, SmallServer, valueOf } from './support.ts';

async function start(fault?: Fault, options = {}) {
  const registry = await FakeRegistry.start(options);
  opened.push(registry);
  registry.addImage(name(), 'latest', { layers: [] });
  if (fault !== undefined) registry.faults.add({ when: { kind: 'manifest' }, do: fault });
  return registry;
}

describe('of several endpoints', () => {
  test('the first is asked alone while it answers', async () => {
    const [first, second] = [await start(), await start()];
    const upstream = connect([first.url, second.url]);
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect([first.count(), second.count()]).toEqual([1, 0]);
  });

  test.each([
    ['is down', { kind: 'refuse' }],
    ['is over its quota', pullLimitReached()],
    ['does not have it', { kind: 'status', status: 404 }],
    ['denies it', { kind: 'status', status: 403 }],
    ['answers nonsense', { kind: 'status', status: 418 }],
    ['sends it encoded', { kind: 'content-encoding', as: 'gzip' }],
    ['breaks off', { kind: 'cut', afterBytes: 10 }],
  ] as const)('the next is asked when one %s', async (_, fault) => {
    const [first, second] = [await start(fault), await start()];
    const upstream = connect([first.url, second.url]);
    valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(second.count()).toBe(1);
  });

  test('a silent one leaves the next its share of the time', async () => {
    const silent = await silentServer();
    opened.push({ [Symbol.asyncDispose]: () => silent.stop() });
    const second = await start();
    const upstream = connect([silent.url, second.url]);
    const elapsed = await millisecondsOf(async () => {
      valueOf(await upstream.headManifest(name(), reference(), { deadlineMs: 1_000 }));
    });
    expect(elapsed).toBeGreaterThan(450);
    expect(elapsed).toBeLessThan(900);
  });

  test('the deadline is one for all', async () => {
    const silent = await silentServer();
    opened.push({ [Symbol.asyncDispose]: () => silent.stop() });
    const upstream = connect([silent.url, `${silent.url}/b`, `${silent.url}/c`]);
    const elapsed = await millisecondsOf(() => upstream.headManifest(name(), reference(), { deadlineMs: 600 }));
    expect(elapsed).toBeGreaterThan(550);
    expect(elapsed).toBeLessThan(900);
    expect(upstream.events).toHaveLength(3);
  });

  test('each keeps circuit and quota of its own', async () => {
    const [first, second] = [await start(pullLimitReached()), await start()];
    const upstream = connect([first.url, second.url]);
    for (let time = 0; time < 2; time++) valueOf(await upstream.headManifest(name(), reference(), ask));
    expect([first.count(), second.count()]).toEqual([1, 2]);
    await second.kill();
    const failure = failureOf(await upstream.headManifest(name(), reference(), ask));
    expect(failure).toMatchObject({ kind: 'rate-limited', retryAfterSeconds: 60 });
  });

  test('one never sees the account meant for another host', async () => {
    const users = { team: 'secret' };
    const second = await start(undefined, { auth: 'token', users });
    const first = await start(undefined, { auth: 'token', realm: `http://localhost:${second.port}/token` });
    const upstream = connect([first.url, second.url], { credentials: { username: 'team', password: 'secret' } });
    expect(valueOf(await upstream.headManifest(name(), reference(), ask)).withCredentials).toBe(true);
    expect(first.count({ scheme: 'basic' })).toBe(0);
    const shown = first.requests.map(({ headers }) => headers.authorization);
    const ofAccount = second.requests.filter(({ user }) => user === 'team').map(({ headers }) => headers.authorization);
    for (const authorization of ofAccount) expect(shown).not.toContain(authorization);
  });

  test('an asker who leaves is not asked for at the next', async () => {
    const [first, second] = [await start({ kind: 'hang' }), await start()];
    const asker = new AbortController();
    const upstream = connect([first.url, second.url]);
    const left = upstream.headManifest(name(), reference(), { ...ask, signal: asker.signal });
    await first.waitFor({});
    asker.abort();
    expect(failureOf(await left).kind).toBe('unavailable');
    expect(second.count()).toBe(0);
  });
});

const failures = {
  'not-found': { kind: 'not-found', reason: 'n' },
  denied: { kind: 'denied', reason: 'd' },
  'wrong-answer': { kind: 'wrong-answer', reason: 'w' },
  unavailable: { kind: 'unavailable', reason: 'u', retryAfterSeconds: 5 },
  'rate-limited': { kind: 'rate-limited', reason: 'r', retryAfterSeconds: 9 },
} satisfies Record<string, UpstreamFailure>;

test.each([
  [['not-found', 'denied'], 'denied'],
  [['not-found', 'unavailable'], 'unavailable'],
  [['denied', 'wrong-answer'], 'wrong-answer'],
  [['unavailable', 'wrong-answer', 'not-found'], 'unavailable'],
  [['unavailable', 'rate-limited'], 'rate-limited'],
  [['not-found', 'not-found'], 'not-found'],
] as const)('of %j is reported %s: "not there" is true only if all could be asked', (kinds, expected) => {
  expect(verdictOf(kinds.map((kind) => failures[kind]))?.kind).toBe(expected);
  expect(verdictOf(kinds.map((kind) => failures[kind]).toReversed())?.kind).toBe(expected);
});

test('every exchange is told once, with status or error, and never with a query', async () => {
  const registry = await start(undefined, { auth: 'token' });
  const upstream = connect(registry.url);
  valueOf(await upstream.headManifest(name(), reference(), ask));
  const { url } = registry;
  expect(upstream.events).toMatchObject([
    { registry: 'registry.test', endpoint: url, kind: 'manifest', method: 'HEAD', status: 401 },
    { registry: 'registry.test', endpoint: url, kind: 'token', method: 'GET', status: 200 },
    { registry: 'registry.test', endpoint: url, kind: 'manifest', method: 'HEAD', status: 200 },
  ]);
  await registry.kill();
  await upstream.headManifest(name(), reference(), ask);
  expect(upstream.events.at(-1)).toMatchObject({ error: 'ECONNREFUSED' });
  expect(upstream.logged()).not.toContain('?');
});

test('connections are kept and bounded', async () => {
  const ports = new Set<number | undefined>();
  const server = await SmallServer.start((request, response) => {
    ports.add(request.socket.remotePort);
    response.end('{}');
  });
  opened.push(server);
  const upstream = connect(server.url, {}, { limits: { connectionsPerOrigin: 2 } });
  for (let time = 0; time < 3; time++) valueOf(await upstream.getManifest(name(), reference(), ask));
  await Promise.all(Array.from({ length: 10 }, () => upstream.getManifest(name(), reference(), ask)));
  expect(ports.size).toBeLessThanOrEqual(2);
});
