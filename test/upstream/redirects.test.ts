import { describe, expect, test } from 'vitest';
import { FakeRegistry, type FakeRegistryOptions, unusedPort } from '../support/fake-registry.ts';
import {
  ask,
  bytesOf,
  connect,
  containing,
  digest,
  failureOf,
  name,
  opened,
  reference,
  serve,
  valueOf,
} from './support.ts';

const credentials = { username: 'team', password: 'secret' };
const content = Buffer.from('0123456789'.repeat(100));
async function start(options: FakeRegistryOptions = {}) {
  const registry = await FakeRegistry.start({ cdn: true, ...options });
  opened.push(registry);
  const blob = digest(registry.addBlob(name(), content).digest);
  registry.addImage(name(), 'latest', { layers: [] });
  return { registry, blob };
}

describe('a redirect', () => {
  test('to another origin keeps the range and leaves the token behind', async () => {
    const { registry, blob } = await start({ auth: 'token', users: { team: 'secret' } });
    const upstream = connect(registry.url, { credentials });
    const part = valueOf(await upstream.getBlob(name(), blob, { first: 10, last: 19 }, ask));
    expect(part).toMatchObject({ start: 10, size: content.length, withCredentials: true });
    expect((await bytesOf(part)).toString()).toBe('0123456789');
    const [asked] = registry.requests.filter(({ kind }) => kind === 'cdn');
    expect(asked).toMatchObject({ range: 'bytes=10-19', scheme: 'none', acceptEncoding: 'identity' });
  });

  test('within the origin keeps the token', async () => {
    const registry = await serve((request, response) => {
      const { authorization, host = '' } = request.headers;
      if (request.url === '/token?scope=repository%3Alibrary%2Falpine%3Apull') return response.end('{"token":"abc"}');
      if (authorization !== 'Bearer abc') {
        return response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${host}/token"` }).end();
      }
      if (request.url === '/moved') return response.end('{}');
      return response.writeHead(301, { location: '/moved' }).end();
    });
    valueOf(await connect(registry.url).getManifest(name(), reference(), ask));
    expect(registry.requests.at(-1)?.url).toBe('/moved');
    expect(registry.requests.at(-1)?.headers.accept).toContain('application/vnd.oci.image.index.v1+json');
  });

  test('is never remembered: a signed URL is good once', async () => {
    const { registry, blob } = await start();
    const upstream = connect(registry.url);
    await bytesOf(valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask)));
    registry.expireCdnUrls();
    await bytesOf(valueOf(await upstream.getBlob(name(), blob, { first: 500 }, ask)));
    expect(registry.count({ kind: 'blob' })).toBe(2);
    expect(registry.count({ kind: 'cdn', status: 403 })).toBe(0);
  });

  test.each([401, 403, 404])('whose target answers %i is no verdict of the registry', async (status) => {
    const { registry, blob } = await start();
    registry.faults.add({ when: { kind: 'cdn' }, do: { kind: 'status', status } });
    const failure = failureOf(await connect(registry.url).getBlob(name(), blob, { first: 0 }, ask));
    expect(failure).toMatchObject({ kind: 'unavailable', status });
  });

  test('whose target errs is asked for anew', async () => {
    const { registry, blob } = await start();
    registry.faults.add({ when: { kind: 'cdn' }, times: 2, do: { kind: 'status', status: 503 } });
    const upstream = connect(registry.url);
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    expect(await bytesOf(whole)).toEqual(content);
    expect(registry.count({ kind: 'blob' })).toBe(3);
  });

  test('whose target cannot be connected says nothing against the registry', async () => {
    const { registry, blob } = await start();
    const nobody = `http://127.0.0.1:${await unusedPort()}`;
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'redirect', to: `${nobody}/x` } });
    const upstream = connect(registry.url);
    const failure = failureOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    expect(failure).toMatchObject({ kind: 'unavailable', reason: containing(`${nobody} `) });
    valueOf(await upstream.headManifest(name(), reference(), ask));
  });

  test('in a circle is a wrong answer', async () => {
    const { registry, blob } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'redirect-loop' } });
    const failure = failureOf(await connect(registry.url).getBlob(name(), blob, { first: 0 }, ask));
    expect(failure).toMatchObject({ kind: 'wrong-answer', reason: containing('circle') });
    expect(registry.count()).toBe(1);
  });

  test('after redirect ends: five are followed, six are a wrong answer', async () => {
    let steps = 5;
    const registry = await serve((request, response) => {
      const step = Number(/\/step\/(\d+)/.exec(request.url ?? '')?.[1] ?? 0);
      if (step === steps) return response.end('{}');
      return response.writeHead(302, { location: `/step/${step + 1}` }).end();
    });
    const upstream = connect(registry.url);
    valueOf(await upstream.getManifest(name(), reference(), ask));
    steps = 6;
    const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
    expect(failure).toMatchObject({ kind: 'wrong-answer', reason: containing('more than 5') });
  });

  test.each(['http://', 'ftp://example.test/x', 'http://user:pass@127.0.0.1:1/', undefined])(
    'to %j is a wrong answer, and nothing is asked there',
    async (location) => {
      const registry = await serve((_, response) => {
        response.writeHead(307, location === undefined ? {} : { location }).end();
      });
      const failure = failureOf(await connect(registry.url).headBlob(name(), digest(), ask));
      expect(failure.kind).toBe('wrong-answer');
      expect(registry.requests).toHaveLength(1);
    },
  );

  test('shows its signature neither in a reason nor in the log', async () => {
    const { registry, blob } = await start();
    registry.faults.add({ when: { kind: 'cdn' }, do: { kind: 'status', status: 403 } });
    const upstream = connect(registry.url);
    const failure = failureOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    expect(failure.reason + upstream.logged()).not.toMatch(/Signature/);
    expect(upstream.logged()).toContain('/objects/');
  });
});
