import { describe, expect, test } from 'vitest';
import { abuseLimitReached, FakeRegistry, pullLimitReached } from '../support/fake-registry.ts';
import { ask, bytesOf, digest, failureOf, name, opened, reference, upstreamOf, valueOf } from './support.ts';

async function start(options: Parameters<typeof FakeRegistry.start>[0] = {}, settings: object = {}) {
  const registry = await FakeRegistry.start(options);
  const image = registry.addImage(name(), 'latest', { layers: [Buffer.from('layer')] });
  const layer = digest(image.layers[0]?.digest);
  const upstream = upstreamOf(registry.url, settings);
  opened.push(registry, upstream);
  return { registry, upstream, layer };
}

describe('thrifty with quota: ', () => {
  test('what is left is read from every manifest answer', async () => {
    const { upstream } = await start({ rateLimit: { limit: 100, remaining: 20, windowSeconds: 21_600 } });
    expect(upstream.quota()).toBeUndefined();
    valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(upstream.quota()).toEqual({
      limit: 100,
      remaining: 20,
      windowSeconds: 21_600,
      source: '127.0.0.1',
      readAt: upstream.clock.now(),
    });
    valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(upstream.quota()?.remaining).toBe(19);
  });

  test('a spent quota is read from the 429 itself', async () => {
    const { upstream } = await start({ rateLimit: { limit: 100, remaining: 0, windowSeconds: 21_600 } });
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('rate-limited');
    expect(upstream.quota()?.remaining).toBe(0);
  });

  test('the quota of the address is not mistaken for the account’s', async () => {
    const { upstream } = await start(
      { rateLimit: { limit: 100, remaining: 20, windowSeconds: 21_600 } },
      { credentials: { username: 'a', password: 'b' } },
    );
    valueOf(await upstream.headManifest(name(), reference(), { ...ask, anonymously: true }));
    expect(upstream.quota()).toBeUndefined();
  });

  test.each([
    ['JSON and no time', pullLimitReached(), 60, /answered 429: You have reached your pull rate limit\. /],
    [
      'plain text and seconds',
      abuseLimitReached({ 'retry-after': '7' }),
      7,
      /answered 429: Too Many Requests \(HAP429\)\.$/,
    ],
    ['a date', pullLimitReached({ 'retry-after': 'Thu, 01 Jan 2026 00:02:00 GMT' }), 120, /429/],
    ['a date that is past', pullLimitReached({ 'retry-after': 'Thu, 01 Jan 2025 00:02:00 GMT' }), 1, /429/],
    ['a time beyond all reason', pullLimitReached({ 'retry-after': '99999999' }), 21_600, /429/],
    [
      'a Go duration in the text',
      {
        kind: 'status' as const,
        status: 429,
        body: { errors: [{ code: 'TOOMANYREQUESTS', message: 'retry-after: 985.86µs, allowed: 44000/minute' }] },
      },
      1,
      /retry-after: 985\.86µs, allowed/,
    ],
  ])('a 429 with %s is answered here until its time', async (_, fault, seconds, reason) => {
    const { registry, upstream } = await start();
    registry.faults.add({ when: { kind: 'manifest' }, times: 1, do: fault });
    const first = failureOf(await upstream.getManifest(name(), reference(), ask));
    expect(first).toMatchObject({ kind: 'rate-limited', retryAfterSeconds: seconds });
    expect(first.reason).toMatch(reason);
    upstream.clock.pass(seconds - 0.5);
    const second = failureOf(await upstream.headManifest(name('team/app'), reference(), ask));
    expect(second).toMatchObject({ kind: 'rate-limited', retryAfterSeconds: 1, reason: first.reason });
    expect(registry.count()).toBe(1);
    upstream.clock.pass(1);
    valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(registry.count()).toBe(2);
  });

  test('a 429 to manifests leaves blobs alone, and the other way round', async () => {
    const { registry, upstream, layer } = await start();
    registry.faults.add({ when: { kind: 'manifest' }, do: pullLimitReached() });
    await upstream.getManifest(name(), reference(), ask);
    await bytesOf(valueOf(await upstream.getBlob(name(), layer, { first: 0 }, ask)));
    expect(failureOf(await upstream.listTags(name(), new URLSearchParams(), ask)).kind).toBe('rate-limited');

    const other = await start();
    other.registry.faults.add({ when: { kind: 'blob' }, do: abuseLimitReached() });
    expect(failureOf(await other.upstream.headBlob(name(), other.layer, ask)).kind).toBe('rate-limited');
    valueOf(await other.upstream.getManifest(name(), reference(), ask));
  });

  test('a 429 to everybody leaves the account alone', async () => {
    const { registry, upstream } = await start(
      { auth: 'token', users: { a: 'b' } },
      { credentials: { username: 'a', password: 'b' } },
    );
    registry.faults.add({ when: { kind: 'manifest', user: 'anonymous' }, do: pullLimitReached() });
    const anonymous = { ...ask, anonymously: true };
    expect(failureOf(await upstream.getManifest(name(), reference(), anonymous)).kind).toBe('rate-limited');
    valueOf(await upstream.getManifest(name(), reference(), ask));
  });

  test('a 429 is not tried again', async () => {
    const { registry, upstream } = await start();
    registry.faults.add({ when: {}, do: pullLimitReached() });
    await upstream.headManifest(name(), reference(), ask);
    expect(registry.count()).toBe(1);
    expect(upstream.clock.slept).toEqual([]);
  });
});
