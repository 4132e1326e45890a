import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { Daemon, dockerIo } from '../support/daemon.ts';
import { FakeRegistry, Gate, silentServer } from '../support/fake-registry.ts';

const MiB = 1024 * 1024;

async function sha256(body: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of body) hash.update(piece);
  return `sha256:${hash.digest('hex')}`;
}

/** Straight to undici: `fetch` hides how a body ended, and its first byte. */
async function pull(daemon: Daemon, path: string, range?: string) {
  return request(`${daemon.url}${path}`, { headers: range === undefined ? {} : { range } });
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function bytesBelow(path: string): Promise<number> {
  // What is being thrown away may go between the two looks.
  const sizes = await Promise.all(
    (await filesBelow(path)).map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

function partialOf({ dataPath }: Daemon, digest: string): string {
  return join(dataPath, 'partial', digest.replace(':', '-'));
}

test('20 clients at once, half of them with ranges, cold 256 MiB blob: the upstream sends each byte once', {
  timeout: 60_000,
}, async () => {
  await using origin = await FakeRegistry.start({ auth: 'token', cdn: true });
  const size = 256 * MiB;
  const blob = await origin.addGeneratedBlob('library/big', size, 'crowd');
  await using daemon = await Daemon.start(origin.url);
  const bytes = blob.read(0, size);
  const path = `/v2/library/big/blobs/${blob.digest}`;

  const whole = Array.from({ length: 10 }, async () => {
    const { statusCode, body } = await pull(daemon, path);
    expect(statusCode).toBe(200);
    expect(await sha256(body)).toBe(blob.digest);
  });
  const ranged = Array.from({ length: 10 }, async (_, index) => {
    const first = Math.floor((size / 10) * index);
    const { statusCode, headers, body } = await pull(daemon, path, `bytes=${first}-`);
    expect(statusCode).toBe(206);
    expect(headers['content-range']).toBe(`bytes ${first}-${size - 1}/${size}`);
    const expected = createHash('sha256').update(bytes.subarray(first)).digest('hex');
    expect(await sha256(body)).toBe(`sha256:${expected}`);
  });
  await Promise.all([...whole, ...ranged]);
  expect(origin.count({ kind: 'cdn' })).toBe(1);
  expect(origin.bodyBytes({ kind: 'cdn' })).toBe(size);
});

test('ranges of a cached blob: first, suffix, open end, If-Range; what lies outside is 416', async () => {
  await using origin = await FakeRegistry.start();
  const bytes = randomBytes(1000);
  const { digest } = origin.addBlob('library/app', bytes);
  await using daemon = await Daemon.start(origin.url);
  const path = `/v2/library/app/blobs/${digest}`;
  const whole = await daemon.get(path);
  expect(Buffer.from(await whole.arrayBuffer())).toEqual(bytes);
  expect(whole.headers.get('cache-status')).toBe('entrepot; fwd=miss; stored');
  await daemon.stored(digest);

  for (const [range, first, end] of [
    ['bytes=0-9', 0, 10],
    ['bytes=990-', 990, 1000],
    ['bytes=-5', 995, 1000],
    ['bytes=-5000', 0, 1000],
    ['bytes=500-99999999999999999999', 500, 1000],
  ] as const) {
    const part = await daemon.get(path, { headers: { range } });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes ${first}-${end - 1}/1000`);
    expect(part.headers.get('cache-status')).toBe('entrepot; hit');
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(first, end));
  }
  for (const range of ['bytes=1000-', 'bytes=-0', 'bytes=9-3', 'bytes=x-', 'bytes=99999999999999999999-']) {
    expect((await daemon.get(path, { headers: { range } })).status, range).toBe(416);
  }
  for (const headers of [
    { range: 'bytes=0-1,5-6' },
    { range: 'lines=1-2' },
    { range: 'bytes=0-9', 'If-Range': '"other"' },
  ]) {
    expect((await daemon.get(path, { headers })).status).toBe(200);
  }
  expect((await daemon.get(path, { headers: { range: 'bytes=0-9', 'If-Range': `"${digest}"` } })).status).toBe(206);
  const head = await daemon.head(path);
  expect(head.headers.get('content-length')).toBe('1000');
  expect(head.headers.get('docker-content-digest')).toBe(digest);
  expect(origin.count({ kind: 'blob' })).toBe(1);
});

test('an empty blob is served, from the upstream and from the cache', async () => {
  await using origin = await FakeRegistry.start();
  const { digest } = origin.addBlob('library/app', Buffer.alloc(0));
  await using daemon = await Daemon.start(origin.url);
  for (let attempt = 0; attempt < 2; attempt++) {
    const answer = await daemon.get(`/v2/library/app/blobs/${digest}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe('0');
    expect((await answer.arrayBuffer()).byteLength).toBe(0);
  }
});

test('a connection that is cut at 40 % is taken up by one more request with Range, and nobody notices', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token', cdn: true });
  const size = 10 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'cut');
  await using daemon = await Daemon.start(origin.url);
  origin.faults.add({ when: { kind: 'cdn' }, times: 1, do: { kind: 'cut', afterBytes: size * 0.4 } });
  const { statusCode, body } = await pull(daemon, `/v2/library/app/blobs/${blob.digest}`);
  expect(statusCode).toBe(200);
  expect(await sha256(body)).toBe(blob.digest);
  const ranges = origin.requests.filter(({ kind }) => kind === 'cdn').map(({ range }) => range);
  expect(ranges).toHaveLength(2);
  expect(ranges[0]).toBeUndefined();
  const resumedAt = Number(/^bytes=(\d+)-$/.exec(ranges[1] ?? '')?.[1]);
  expect(resumedAt).toBeGreaterThan(0);
  expect(resumedAt).toBeLessThanOrEqual(size * 0.4);
  // The registry, not the address it redirected to before, was asked again.
  expect(origin.count({ kind: 'blob', status: 307 })).toBe(2);
  expect(origin.count({ kind: 'cdn', scheme: 'bearer' })).toBe(0);
});

test('a flipped byte: the transfer is cut before its end, nothing is stored, the next attempt succeeds', async () => {
  await using origin = await FakeRegistry.start();
  const size = 3 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'flip');
  await using daemon = await Daemon.start(origin.url);
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const fault = origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'flip-byte', atByte: MiB } });
  for (const range of [undefined, `bytes=${size - 1}-`]) {
    const { body } = await pull(daemon, path, range);
    await expect(sha256(body)).rejects.toThrow();
  }
  expect(await filesBelow(join(daemon.dataPath, 'blobs'))).toEqual([]);
  expect(await filesBelow(join(daemon.dataPath, 'partial'))).toEqual([]);
  fault.remove();
  expect(await sha256((await pull(daemon, path)).body)).toBe(blob.digest);
});

test.each([
  ['more than announced by the manifest', { kind: 'content-length', bytes: 1_500_000 }],
  ['no Content-Length', { kind: 'chunked' }],
  ['a registry that ignores Range', { kind: 'ignore-range' }],
] as const)('a whole blob arrives or none: %s', async (_, fault) => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 1_000_000, 'length');
  await using daemon = await Daemon.start(origin.url);
  origin.faults.add({ when: { kind: 'blob' }, do: fault });
  origin.faults.add({ when: { kind: 'blob', nth: 1 }, do: { kind: 'cut', afterBytes: 400_000 } });
  const { body } = await pull(daemon, `/v2/library/app/blobs/${blob.digest}`);
  const outcome = await sha256(body).catch(() => 'cut');
  if (outcome === blob.digest) await daemon.stored(blob.digest);
  expect(outcome).toBe(fault.kind === 'content-length' ? 'cut' : blob.digest);
  expect(await bytesBelow(join(daemon.dataPath, 'blobs'))).toBe(fault.kind === 'content-length' ? 0 : 1_000_000);
});

test('a client that leaves after 1 MB does not stop the fill', async () => {
  await using origin = await FakeRegistry.start();
  const size = 20 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'leaves');
  await using daemon = await Daemon.start(origin.url);
  const gate = new Gate();
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'gate', gate, afterBytes: 2 * MiB } });
  const { body } = await pull(daemon, `/v2/library/app/blobs/${blob.digest}`);
  let received = 0;
  for await (const piece of body) {
    received += (piece as Buffer).length;
    if (received >= MiB) break;
  }
  gate.open();
  await origin.waitFor({ kind: 'blob', outcome: 'complete' });
  expect(await sha256((await pull(daemon, `/v2/library/app/blobs/${blob.digest}`)).body)).toBe(blob.digest);
  expect(origin.count({ kind: 'blob' })).toBe(1);
});

test('two repositories that share a cold layer, pulled at once: each byte once', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  const blob = await origin.addGeneratedBlob('library/one', 8 * MiB, 'shared');
  origin.linkBlob('library/two', blob.digest);
  await using daemon = await Daemon.start(origin.url);
  const digests = await Promise.all(
    ['one', 'two', 'one', 'two'].map(async (name) =>
      sha256((await pull(daemon, `/v2/library/${name}/blobs/${blob.digest}`)).body),
    ),
  );
  expect(digests).toEqual(Array(4).fill(blob.digest));
  expect(origin.bodyBytes({ kind: 'blob', status: 200 })).toBe(8 * MiB);
});

test('a restart in mid-fill: the next flight goes on where the last one was', async () => {
  await using origin = await FakeRegistry.start();
  const size = 10 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'restart');
  await using daemon = await Daemon.start(origin.url, { shutdownGrace: '0s' });
  const gate = new Gate();
  const fault = origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'gate', gate, afterBytes: 6 * MiB } });
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const { body } = await pull(daemon, path);
  let received = 0;
  let restarting: Promise<void> | undefined;
  const interrupted = (async () => {
    for await (const piece of body) {
      received += (piece as Buffer).length;
      if (received > 5 * MiB) restarting ??= daemon.restart();
    }
  })();
  await expect(interrupted).rejects.toThrow();
  await restarting;
  fault.remove();
  const kept = await bytesBelow(join(daemon.dataPath, 'partial'));
  expect(await sha256((await pull(daemon, path)).body)).toBe(blob.digest);
  expect(origin.requests.at(-1)?.range).toBe(`bytes=${kept}-`);
  expect(kept).toBeGreaterThan(5 * MiB);
  await daemon.stored(blob.digest);
  expect(await filesBelow(join(daemon.dataPath, 'partial'))).toEqual([]);
});

test('a partial file that was damaged between two starts is never served as the blob', async () => {
  await using origin = await FakeRegistry.start();
  const size = 4 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'damaged');
  await using daemon = await Daemon.start(origin.url, { shutdownGrace: '0s' });
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const partial = await open(partialOf(daemon, blob.digest), 'w');
  await partial.writeFile(randomBytes(MiB));
  await partial.close();
  await daemon.restart();
  await expect(sha256((await pull(daemon, path)).body)).rejects.toThrow();
  expect(await sha256((await pull(daemon, path)).body)).toBe(blob.digest);
});

test('a bounded range far ahead of a slow flight is answered beside it, uncached', async () => {
  await using origin = await FakeRegistry.start();
  const size = 64 * MiB;
  const blob = await origin.addGeneratedBlob('library/app', size, 'aside');
  await using daemon = await Daemon.start(origin.url);
  const gate = new Gate();
  origin.faults.add({ when: { kind: 'blob', nth: 1 }, do: { kind: 'gate', gate, afterBytes: MiB } });
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const whole = pull(daemon, path).then(({ body }) => sha256(body));
  await gate.reached;
  const first = 60 * MiB;
  const { statusCode, body } = await pull(daemon, path, `bytes=${first}-${first + 999}`);
  expect(statusCode).toBe(206);
  expect(Buffer.from(await body.arrayBuffer())).toEqual(Buffer.from(blob.read(first, first + 1000)));
  gate.open();
  expect(await whole).toBe(blob.digest);
  expect(origin.count({ kind: 'blob' })).toBe(2);
  expect(origin.bodyBytes({ kind: 'blob' })).toBe(size + 1000);
});

test('an upstream that accepts and stays silent is a clear error within 10 s, and the next asker does not wait', {
  timeout: 30_000,
}, async () => {
  await using upstream = { server: await silentServer(), [Symbol.asyncDispose]: async () => upstream.server.stop() };
  await using daemon = await Daemon.start(upstream.server.url);
  const path = `/v2/library/app/blobs/sha256:${'a'.repeat(64)}`;
  const start = performance.now();
  const answer = await daemon.get(path);
  expect(performance.now() - start).toBeLessThan(10_000);
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ errors: [{ code: 'UNKNOWN' }] });
  const again = performance.now();
  expect((await daemon.get(path)).status).toBe(503);
  expect(performance.now() - again).toBeLessThan(500);
});

test('the first byte of a cold blob leaves within 50 ms of the upstream’s first byte', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const delays: number[] = [];
  // The best of three: what else the machine does at that moment is not the daemon's doing.
  for (const seed of ['one', 'two', 'three']) {
    const blob = await origin.addGeneratedBlob('library/app', 8 * MiB, `first byte ${seed}`);
    const gate = new Gate();
    const hold = origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'gate', gate, afterBytes: 100_000 } });
    const firstByte = pull(daemon, `/v2/library/app/blobs/${blob.digest}`).then(async ({ body }) => {
      for await (const _ of body) return performance.now();
      return Infinity;
    });
    // The gate holds everything after 100 kB back: only those can be what arrives.
    await gate.reached;
    const upstreamSent = performance.now();
    delays.push((await firstByte) - upstreamSent);
    hold.remove();
    gate.open();
  }
  expect(Math.min(...delays)).toBeLessThan(50);
});

test('no room under the cap: passed through, verified, not stored, and said so', async () => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 3 * MiB, 'no room');
  await using daemon = await Daemon.start(origin.url, { storage: { path: 'data', maxSize: '1MiB' } });
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const { statusCode, headers, body } = await pull(daemon, path);
  expect(statusCode).toBe(200);
  expect(headers['cache-status']).toBe('entrepot; fwd=miss; detail=no-room');
  expect(await sha256(body)).toBe(blob.digest);
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'flip-byte', atByte: 1000 } });
  await expect(sha256((await pull(daemon, path)).body)).rejects.toThrow();
  expect(await bytesBelow(join(daemon.dataPath, 'blobs'))).toBe(0);
  expect(await bytesBelow(join(daemon.dataPath, 'partial'))).toBe(0);
});

test('a blob whose file shrank is a miss, not a truncated answer', async () => {
  await using origin = await FakeRegistry.start();
  const { digest } = origin.addBlob('library/app', randomBytes(5000));
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url));
  const path = `/v2/library/app/blobs/${digest}`;
  await (await daemon.get(path)).arrayBuffer();
  await daemon.stored(digest);
  const [file] = await filesBelow(join(daemon.dataPath, 'blobs'));
  await truncate(file!, 100);
  expect((await (await daemon.get(path)).arrayBuffer()).byteLength).toBe(5000);
  expect(origin.count({ kind: 'blob' })).toBe(2);
});

test('a partial file longer than the blob, from a registry that ignores Range, is never served as the blob', async () => {
  await using origin = await FakeRegistry.start();
  const { digest } = origin.addBlob('library/app', randomBytes(500_000));
  await using daemon = await Daemon.start(origin.url);
  await writeFile(partialOf(daemon, digest), randomBytes(3 * MiB));
  await daemon.restart();
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'ignore-range' } });
  expect(await sha256((await pull(daemon, `/v2/library/app/blobs/${digest}`)).body)).toBe(digest);
  await daemon.stored(digest);
  expect(await filesBelow(join(daemon.dataPath, 'partial'))).toEqual([]);
});

test('a partial file that cannot be read again does not leave the upstream sending into nowhere', async () => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 64 * MiB, 'unreadable');
  await using daemon = await Daemon.start(origin.url);
  await writeFile(partialOf(daemon, blob.digest), blob.read(0, 2 * MiB));
  await daemon.restart();
  const gate = new Gate();
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'gate', gate } });
  const answer = pull(daemon, `/v2/library/app/blobs/${blob.digest}`);
  await gate.reached;
  await truncate(partialOf(daemon, blob.digest), 100);
  gate.open();
  await expect(sha256((await answer).body)).rejects.toThrow();
  await origin.waitFor({ kind: 'blob', outcome: 'abandoned' });
});

test('a new configuration for its upstream does not cut a transfer that is under way', async () => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 8 * MiB, 'reload');
  await using daemon = await Daemon.start(origin.url);
  const gate = new Gate();
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'gate', gate, afterBytes: 2 * MiB } });
  const whole = pull(daemon, `/v2/library/app/blobs/${blob.digest}`).then(({ body }) => sha256(body));
  await gate.reached;
  await daemon.reload(dockerIo(origin.url, { tagTtl: '7m', username: 'mirror', password: 'hub-secret' }));
  gate.open();
  expect(await whole).toBe(blob.digest);
  expect(origin.bodyBytes({ kind: 'blob' })).toBe(8 * MiB);
});

test('to an HTTP/1.0 client, who knows no chunks, a wrong blob of unknown length is reset and does not just end', async () => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 3 * MiB, 'http 1.0');
  await using daemon = await Daemon.start(origin.url);
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'chunked' } });
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'flip-byte', atByte: 5 } });
  const { hostname, port } = new URL(daemon.url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET /v2/library/app/blobs/${blob.digest} HTTP/1.0\r\n\r\n`);
  await expect(socket.resume().toArray()).rejects.toThrow('ECONNRESET');
});

test('a range that is passed through tells the size of the whole, or the whole is the answer', async () => {
  await using origin = await FakeRegistry.start();
  const layer = randomBytes(2 * MiB);
  const image = origin.addImage('library/app', '1.0', { layers: [layer] });
  await using daemon = await Daemon.start(origin.url, { storage: { path: 'data', maxSize: '1MiB' } });
  await (await daemon.get('/v2/library/app/manifests/1.0')).arrayBuffer();
  const path = `/v2/library/app/blobs/${image.layers[0]!.digest}`;
  const part = await pull(daemon, path, 'bytes=0-9');
  expect(part.headers['content-range']).toBe(`bytes 0-9/${layer.length}`);
  await part.body.dump();
  const headers = { 'content-range': 'bytes 0-9/*' };
  origin.faults.add({
    when: { kind: 'blob', range: 'bytes=0-9' },
    do: { kind: 'status', status: 206, body: '0123456789', headers },
  });
  const whole = await pull(daemon, path, 'bytes=0-9');
  expect(whole.statusCode).toBe(200);
  expect(await sha256(whole.body)).toBe(image.layers[0]!.digest);
});

test('an upstream that sent more than the blob has is not held against the next attempt', async () => {
  await using origin = await FakeRegistry.start();
  const image = origin.addImage('library/app', '1.0', { layers: [randomBytes(200_000)] });
  const { digest } = image.layers[0]!;
  await using daemon = await Daemon.start(origin.url);
  await daemon.get('/v2/library/app/manifests/1.0');
  const path = `/v2/library/app/blobs/${digest}`;
  origin.faults.add({ when: { kind: 'blob' }, times: 1, do: { kind: 'chunked' } });
  origin.faults.add({ when: { kind: 'blob' }, times: 1, do: { kind: 'oversize', extraBytes: 10 } });
  await expect(sha256((await pull(daemon, path)).body)).rejects.toThrow();
  expect(await sha256((await pull(daemon, path)).body)).toBe(digest);
});

test('a blob of unknown size that turns out not to fit reaches its readers all the same, and is passed through from then on', async () => {
  await using origin = await FakeRegistry.start();
  const blob = await origin.addGeneratedBlob('library/app', 3 * MiB, 'unknown size');
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'chunked' } });
  await using daemon = await Daemon.start(origin.url, { storage: { path: 'data', maxSize: '1MiB' } });
  const path = `/v2/library/app/blobs/${blob.digest}`;
  const readers = [pull(daemon, path), pull(daemon, path), pull(daemon, path, `bytes=${2.5 * MiB}-`)];
  const [first, second, range] = await Promise.all(readers);
  expect(await sha256(first!.body)).toBe(blob.digest);
  expect(await sha256(second!.body)).toBe(blob.digest);
  // Of unknown size, the whole is the answer to any range.
  expect(await sha256(range!.body)).toBe(blob.digest);
  for (let attempt = 0; attempt < 2; attempt++) {
    const { headers, body } = await pull(daemon, path);
    expect(headers['cache-status']).toBe('entrepot; fwd=miss; detail=no-room');
    expect(await sha256(body)).toBe(blob.digest);
  }
  expect(await filesBelow(join(daemon.dataPath, 'partial'))).toEqual([]);
});
