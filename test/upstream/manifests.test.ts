import { describe, expect, test } from 'vitest';
import { maxManifestBytes } from '../../src/oci/manifest.ts';
import { acceptedManifests } from '../../src/oci/media-type.ts';
import { FakeRegistry, mediaTypes } from '../support/fake-registry.ts';
import { ask, failureOf, name, opened, reference, startSmall, upstreamOf, valueOf } from './support.ts';

async function start(...rest: [object?, object?]) {
  const registry = await FakeRegistry.start();
  const image = registry.addImage(name(), 'latest', { layers: [Buffer.from('layer')] });
  const upstream = upstreamOf(registry.url, ...rest);
  opened.push(registry, upstream);
  return { registry, image, upstream };
}

describe('a manifest', () => {
  test('is asked for with our own Accept list, and comes byte for byte', async () => {
    const { registry, image, upstream } = await start();
    const manifest = valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(manifest).toEqual({
      mediaType: mediaTypes.oci.manifest,
      digest: image.manifest.digest,
      size: image.bytes.length,
      withCredentials: false,
      bytes: new Uint8Array(image.bytes),
    });
    expect(registry.requests).toMatchObject([{ accept: acceptedManifests, acceptEncoding: 'identity', method: 'GET' }]);
  });

  test('by HEAD costs no body', async () => {
    const { image, upstream } = await start();
    const head = valueOf(await upstream.headManifest(name(), reference(image.manifest.digest), ask));
    expect(head).toMatchObject({ digest: image.manifest.digest, size: image.bytes.length });
    expect(head).not.toHaveProperty('bytes');
  });

  test('has its media type without parameters, and no digest where the registry sent a bad one', async () => {
    const { upstream } = await startSmall((_, response) => {
      const headers = { 'content-type': 'Application/Vnd.X+JSON; charset=utf-8', 'docker-content-digest': 'md5:abc' };
      response.writeHead(200, headers).end('{}');
    });
    const manifest = valueOf(await upstream.getManifest(name(), reference(), ask));
    expect(manifest).toMatchObject({ mediaType: 'application/vnd.x+json', digest: undefined, size: 2 });
  });

  test.each([405, 501])('from a registry without HEAD (%i) is fetched for its head', async (status) => {
    const { registry, image, upstream } = await start();
    registry.faults.add({ when: { kind: 'manifest', method: 'HEAD' }, do: { kind: 'status', status } });
    const head = valueOf(await upstream.headManifest(name(), reference(), ask));
    expect(head).toMatchObject({ digest: image.manifest.digest, size: image.bytes.length });
    expect(head).not.toHaveProperty('bytes');
  });

  test('has its largest size, and one byte more is a wrong answer', async () => {
    let size = maxManifestBytes;
    const { upstream } = await startSmall((_, response) => response.end(Buffer.alloc(size)));
    expect(valueOf(await upstream.getManifest(name(), reference(), ask)).bytes).toHaveLength(maxManifestBytes);
    size += 1;
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('wrong-answer');
  });

  test('without end is not read to the end', async () => {
    let sent = 0;
    const { upstream } = await startSmall((_, response) => {
      const more = () => {
        for (;;) {
          if (response.destroyed) return;
          sent += 65_536;
          if (!response.write(Buffer.alloc(65_536))) break;
        }
        response.once('drain', more);
      };
      more();
    });
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('wrong-answer');
    expect(sent).toBeLessThan(maxManifestBytes * 4);
  });

  test('in an encoding is a wrong answer', async () => {
    const { registry, upstream } = await start();
    registry.faults.add({ when: { kind: 'manifest' }, do: { kind: 'content-encoding', as: 'gzip' } });
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('wrong-answer');
  });

  test('that breaks off, or dribbles for ever, is unavailable', async () => {
    const { registry, upstream } = await start({}, { limits: { bodyReadMs: 300 } });
    registry.faults.add({ when: { kind: 'manifest' }, times: 1, do: { kind: 'cut', afterBytes: 50 } });
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('unavailable');
    registry.faults.add({ when: { kind: 'manifest' }, do: { kind: 'slow', bytesPerSecond: 20 } });
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('unavailable');
  });
});

describe('a status', () => {
  test.each([
    [404, 'not-found'],
    [401, 'denied'],
    [403, 'denied'],
    [400, 'wrong-answer'],
    [418, 'wrong-answer'],
    [304, 'wrong-answer'],
    [408, 'unavailable'],
    [500, 'unavailable'],
    [599, 'unavailable'],
  ])('of %i means %s', async (status, kind) => {
    const { registry, upstream } = await start();
    registry.faults.add({ when: {}, do: { kind: 'status', status } });
    const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
    expect(failure.kind).toBe(kind);
    expect(failure.reason).toContain(String(status));
    if (kind === 'unavailable') expect(failure).toMatchObject({ status, retryAfterSeconds: 5 });
  });

  test('of 503 with Retry-After is taken at its word', async () => {
    const { registry, upstream } = await start();
    const headers = { 'retry-after': '120' };
    registry.faults.add({ when: {}, do: { kind: 'status', status: 503, headers } });
    const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
    expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 120 });
    expect(registry.count()).toBe(1);
  });

  test('with an error page too large or too slow holds up nobody', async () => {
    const { upstream } = await startSmall((_, response) => {
      response.writeHead(404, { 'content-length': '100000000' }).write('x'.repeat(10));
    });
    const startedAt = performance.now();
    expect(failureOf(await upstream.getManifest(name(), reference(), ask)).kind).toBe('not-found');
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('brings the words of the upstream, without what could forge a log line', async () => {
    const { registry, upstream } = await start();
    const message = `gone\r\n\u001b[31m2026 INFO all is well\u202e${'x'.repeat(1_000)}`;
    registry.faults.add({ when: {}, do: { kind: 'status', status: 404, body: { errors: [{ message }] } } });
    const { reason } = failureOf(await upstream.getManifest(name(), reference(), ask));
    expect(reason).toMatch(/^http:\/\/127\.0\.0\.1:\d+ answered 404: gone \[31m2026 INFO all is well x+$/);
    expect(reason.length).toBeLessThan(260);
  });
});

describe('a list of tags', () => {
  test('is paged, and only the page goes either way', async () => {
    const { registry, image, upstream } = await start();
    for (const tag of ['a', 'b', 'c']) registry.setTag(name(), tag, image.manifest.digest);
    const query = new URLSearchParams({ n: '2', last: 'a', ns: 'docker.io', token: 'x' });
    const page = valueOf(await upstream.listTags(name(), query, ask));
    expect(page.tags).toEqual(['b', 'c']);
    expect(page.next?.toString()).toBe('n=2&last=c');
    expect(registry.requests[0]?.query.toString()).toBe('n=2&last=a');
    const rest = valueOf(await upstream.listTags(name(), page.next ?? new URLSearchParams(), ask));
    expect(rest).toEqual({ tags: ['latest'], next: undefined, withCredentials: false });
  });

  test.each([
    ['</v2/x/tags/list?last=z&n=5&evil=1>; rel="next"', 'n=5&last=z'],
    ['<https://elsewhere.test/?next_page=abc>; rel=next', 'next_page=abc'],
    ['</first?n=1>; rel="first", </next?n=2>; title="x"; rel="next"', 'n=2'],
    ['</v2/x/tags/list>; rel="next"', undefined],
    ['</v2/x/tags/list?n=1>; rel="prev"', undefined],
    ['nonsense', undefined],
  ])('with Link %s goes on with %s', async (link, next) => {
    const { upstream } = await startSmall((_, response) => response.writeHead(200, { link }).end('{"tags":["a"]}'));
    const page = valueOf(await upstream.listTags(name(), new URLSearchParams(), ask));
    expect(page.next?.toString()).toBe(next);
  });

  test('may be null, and is a wrong answer when it is none', async () => {
    let body = '{"name":"library/alpine","tags":null}';
    const { upstream } = await startSmall((_, response) => response.end(body));
    expect(valueOf(await upstream.listTags(name(), new URLSearchParams(), ask)).tags).toEqual([]);
    for (body of ['{"tags":[1]}', '{}', '[]', '', 'null', '<html>']) {
      expect(failureOf(await upstream.listTags(name(), new URLSearchParams(), ask)).kind).toBe('wrong-answer');
    }
  });

  test('of more than its largest size is a wrong answer', async () => {
    const body = JSON.stringify({ tags: ['x'.repeat(8 * 1024 * 1024)] });
    const { upstream } = await startSmall((_, response) => response.end(body));
    expect(failureOf(await upstream.listTags(name(), new URLSearchParams(), ask)).kind).toBe('wrong-answer');
  });
});
