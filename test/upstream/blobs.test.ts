import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import {
  ask,
  bytesOf,
  containing,
  digest,
  failureOf,
  name,
  opened,
  reference,
  startSmall,
  upstreamOf,
  valueOf,
} from './support.ts';

const content = Buffer.from('0123456789'.repeat(100));
async function start(options: FakeRegistryOptions = {}, ...rest: [object?, object?]) {
  const registry = await FakeRegistry.start(options);
  const blob = digest(registry.addBlob(name(), content).digest);
  const upstream = upstreamOf(registry.url, ...rest);
  opened.push(registry, upstream);
  return { registry, blob, upstream };
}

describe('the whole of a blob', () => {
  test('is asked for without a range, as it is, and counted', async () => {
    let counted = 0;
    const { registry, blob, upstream } = await start({}, {}, { onBytes: (count: number) => (counted += count) });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    expect(whole).toMatchObject({ start: 0, size: content.length, withCredentials: false });
    expect(await bytesOf(whole)).toEqual(content);
    expect(counted).toBe(content.length);
    expect(registry.requests).toMatchObject([{ range: undefined, acceptEncoding: 'identity' }]);
    expect(registry.requests[0]?.headers['user-agent']).toBe('entrepot/1.2.3');
  });

  test('of unknown size has none', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'chunked' } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    expect(whole.size).toBeUndefined();
    expect(await bytesOf(whole)).toEqual(content);
  });

  test('in an encoding is a wrong answer', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'content-encoding', as: 'gzip' } });
    expect(failureOf(await upstream.getBlob(name(), blob, { first: 0 }, ask)).kind).toBe('wrong-answer');
  });

  test('that is not there is not found, whatever else the registry says', async () => {
    const { upstream } = await start();
    const failure = failureOf(await upstream.getBlob(name(), digest(), { first: 0 }, ask));
    expect(failure.kind).toBe('not-found');
    expect(failure.reason).toMatch(/answered 404: blob unknown to registry$/);
  });

  test('comes from an endpoint with a path in front', async () => {
    const { server, upstream } = await startSmall((_, response) => response.end('bytes'));
    opened.push(upstream);
    const prefixed = upstreamOf(`${server.url}/prefix/`);
    opened.push(prefixed);
    await bytesOf(valueOf(await prefixed.getBlob(name(), digest(), { first: 0 }, ask)));
    expect(server.paths).toEqual([`/prefix/v2/library/alpine/blobs/${digest()}`]);
  });
});

describe('a range of a blob', () => {
  test('begins where it was asked for', async () => {
    const { registry, blob, upstream } = await start();
    const rest = valueOf(await upstream.getBlob(name(), blob, { first: 990 }, ask));
    expect(rest).toMatchObject({ start: 990, size: content.length });
    expect((await bytesOf(rest)).toString()).toBe('0123456789');
    expect(registry.requests).toMatchObject([{ range: 'bytes=990-' }]);
  });

  test('from a registry that ignores ranges begins at 0', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'ignore-range' } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 990 }, ask));
    expect(whole).toMatchObject({ start: 0, size: content.length });
    expect(await bytesOf(whole)).toEqual(content);
  });

  test('beyond the end is a wrong answer', async () => {
    const { blob, upstream } = await start();
    const failure = failureOf(await upstream.getBlob(name(), blob, { first: 5_000 }, ask));
    expect(failure).toMatchObject({ kind: 'wrong-answer', reason: containing('416') });
  });

  test.each([
    ['that begins elsewhere', { 'content-range': 'bytes 0-9/100' }],
    ['that ends later than asked', { 'content-range': 'bytes 5-99/100' }],
    ['that contradicts itself', { 'content-range': 'bytes 5-9/7' }],
    ['without a Content-Range', {}],
    ['of another length than it says', { 'content-range': 'bytes 5-9/100', 'content-length': '3' }],
  ])('%s is a wrong answer', async (_, headers) => {
    const { upstream } = await startSmall((_request, response) => response.writeHead(206, headers).end('abc'));
    const failure = failureOf(await upstream.getBlob(name(), digest(), { first: 5, last: 9 }, ask));
    expect(failure.kind).toBe('wrong-answer');
  });
});

describe('a body', () => {
  test('that breaks throws', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'cut', afterBytes: 400 } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    await expect(bytesOf(whole)).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
  });

  test('that falls silent throws within its bound', async () => {
    const { registry, blob, upstream } = await start({}, {}, { limits: { bodyIdleTimeoutMs: 300 } });
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'hang', afterBytes: 400 } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    await expect(bytesOf(whole)).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
  });

  test('that is left early closes the upstream connection', async () => {
    const { registry, upstream } = await start();
    const blob = await registry.addGeneratedBlob(name(), 64 * 1024 * 1024, 1);
    const whole = valueOf(await upstream.getBlob(name(), digest(blob.digest), { first: 0 }, ask));
    for await (const chunk of whole.body) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    const [request] = await registry.waitFor({ kind: 'blob', outcome: 'abandoned' });
    expect(request?.bytesSent).toBeLessThan(blob.size);
  });

  test('that is left before its first byte closes the connection too', async () => {
    const { registry, upstream } = await start();
    const blob = await registry.addGeneratedBlob(name(), 64 * 1024 * 1024, 2);
    const whole = valueOf(await upstream.getBlob(name(), digest(blob.digest), { first: 0 }, ask));
    await whole.body[Symbol.asyncIterator]().return?.();
    await registry.waitFor({ kind: 'blob', outcome: 'abandoned' });
  });

  test('ends with the asker', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'hang', afterBytes: 400 } });
    const asker = new AbortController();
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, { ...ask, signal: asker.signal }));
    const reading = bytesOf(whole);
    asker.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await registry.waitFor({ kind: 'blob', outcome: 'abandoned' });
  });

  test('however it ends, lets go of its asker', async () => {
    const { blob, upstream } = await start();
    const { signal } = new AbortController();
    await bytesOf(valueOf(await upstream.getBlob(name(), blob, { first: 0 }, { ...ask, signal })));
    const left = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, { ...ask, signal }));
    await left.body[Symbol.asyncIterator]().return?.();
    await upstream.headBlob(name(), digest(), { ...ask, signal });
    await expect.poll(() => getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('is not cut by the deadline, which is for the headers', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'slow', bytesPerSecond: 1_000 } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, { deadlineMs: 300 }));
    expect(await bytesOf(whole)).toEqual(content);
  });

  test('ends with the upstream', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'hang', afterBytes: 400 } });
    const whole = valueOf(await upstream.getBlob(name(), blob, { first: 0 }, ask));
    const reading = expect(bytesOf(whole)).rejects.toThrow('the upstream was closed');
    await upstream.close();
    await reading;
    const failure = failureOf(await upstream.headManifest(name(), reference(), ask));
    expect(failure.kind).toBe('unavailable');
  });
});

describe('HEAD of a blob', () => {
  test('tells size and digest', async () => {
    const { blob, upstream } = await start();
    const head = valueOf(await upstream.headBlob(name(), blob, ask));
    expect(head).toEqual({
      mediaType: 'application/octet-stream',
      digest: blob,
      size: content.length,
      withCredentials: false,
    });
  });

  test.each([401, 403, 405, 501])('refused with %i is replaced by a GET of one byte', async (status) => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob', method: 'HEAD' }, do: { kind: 'status', status } });
    expect(valueOf(await upstream.headBlob(name(), blob, ask)).size).toBe(content.length);
    expect(registry.count({ kind: 'blob', method: 'GET', range: 'bytes=0-0' })).toBe(1);
  });

  test('refused by the store behind the registry, too', async () => {
    const { registry, blob, upstream } = await start({ cdn: true });
    registry.faults.add({ when: { kind: 'cdn', method: 'HEAD' }, do: { kind: 'status', status: 403 } });
    expect(valueOf(await upstream.headBlob(name(), blob, ask)).size).toBe(content.length);
  });

  test('of an empty blob, by way of a 416', async () => {
    const { registry, upstream } = await start();
    const empty = digest(registry.addBlob(name(), '').digest);
    registry.faults.add({ when: { kind: 'blob', method: 'HEAD' }, do: { kind: 'status', status: 405 } });
    expect(valueOf(await upstream.headBlob(name(), empty, ask)).size).toBe(0);
  });

  test('of what is not there asks once', async () => {
    const { registry, upstream } = await start();
    expect(failureOf(await upstream.headBlob(name(), digest(), ask)).kind).toBe('not-found');
    expect(registry.count()).toBe(1);
  });

  test('where the GET is refused as well is a denial', async () => {
    const { registry, blob, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'status', status: 403 } });
    expect(failureOf(await upstream.headBlob(name(), blob, ask)).kind).toBe('denied');
  });
});
