import { once } from 'node:events';
import { connect } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { request } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import {
  abuseLimitReached,
  FakeRegistry,
  type FakeRegistryOptions,
  type Fault,
  Gate,
  pullLimitReached,
} from '../fake-registry.ts';

const repository = 'library/alpine';
const text = '0123456789abcdef';

/** A registry with one blob, and the fault in every answer to a GET of it. */
async function faulty(fault: Fault, options: FakeRegistryOptions = {}): Promise<{ origin: FakeRegistry; url: string }> {
  const origin = await FakeRegistry.start(options);
  onTestFinished(() => origin.stop());
  const { digest } = origin.addBlob(repository, text);
  origin.faults.add({ when: { kind: 'blob', method: 'GET' }, do: fault });
  return { origin, url: `${origin.url}/v2/${repository}/blobs/${digest}` };
}

/** What really comes over the wire until the connection closes, head and body. */
async function wire(url: string): Promise<{ head: string; body: string }> {
  const { port, pathname, host } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  await once(socket, 'close');
  const [head = '', body = ''] = Buffer.concat(received).toString('latin1').split('\r\n\r\n', 2);
  return { head: head.toLowerCase(), body };
}

const connectionLost = { cause: { code: 'UND_ERR_SOCKET' } };

test('refuse: the connection closes without an answer', async () => {
  const { origin, url } = await faulty({ kind: 'refuse' });
  await expect(fetch(url)).rejects.toMatchObject(connectionLost);
  expect(origin.requests).toMatchObject([{ status: undefined, outcome: 'cut' }]);
});

test('hang: no headers come, until the registry stops', async () => {
  const { origin, url } = await faulty({ kind: 'hang' });
  const answer = expect(fetch(url)).rejects.toMatchObject(connectionLost);
  await origin.waitFor({ kind: 'blob' });
  await origin.stop();
  await answer;
  await origin.waitFor({ outcome: 'abandoned', status: undefined });
});

test('hang: the body stops in the middle, until the client leaves', async () => {
  const { origin, url } = await faulty({ kind: 'hang', afterBytes: 10 });
  const { body, headers } = await request(url);
  expect(headers['content-length']).toBe('16');
  for await (const chunk of body as AsyncIterable<Buffer>) {
    expect(chunk.toString()).toBe('0123456789');
    break; // which closes the connection
  }
  const [hung] = await origin.waitFor({ outcome: 'abandoned' });
  expect(hung).toMatchObject({ status: 200, bytesSent: 10 });
});

test('hang after 0 bytes: the headers come', async () => {
  const { origin, url } = await faulty({ kind: 'hang', afterBytes: 0 });
  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  const body = expect(answer.text()).rejects.toThrow();
  await origin.stop();
  await body;
});

test('gate: the body stops until the test opens it', async () => {
  const gate = new Gate();
  const { origin, url } = await faulty({ kind: 'gate', gate, afterBytes: 4 });
  const answer = await fetch(url);
  await gate.reached;
  expect(origin.bodyBytes()).toBe(4);
  expect(origin.count({ outcome: 'open' })).toBe(1);
  gate.open();
  expect(await answer.text()).toBe(text);
});

test('gate: without a byte count even the headers wait', async () => {
  const gate = new Gate();
  const { origin, url } = await faulty({ kind: 'gate', gate });
  const answer = fetch(url);
  await gate.reached;
  expect(origin.requests).toMatchObject([{ status: undefined }]);
  gate.open();
  expect(await (await answer).text()).toBe(text);
});

test('cut: exactly so many bytes arrive, and the length is that of the whole', async () => {
  const { origin, url } = await faulty({ kind: 'cut', afterBytes: 6 });
  const { head, body } = await wire(url);
  expect(head).toContain('content-length: 16');
  expect(body).toBe('012345');
  expect(origin.requests).toMatchObject([{ bytesSent: 6, outcome: 'cut' }]);
  await expect((await fetch(url)).text()).rejects.toThrow();
});

test('cut: what was written before it is not lost, however much it is', async () => {
  const { origin } = await faulty({ kind: 'cut', afterBytes: 5_000_001 });
  const { digest } = await origin.addGeneratedBlob(repository, 8_000_000, 1);
  const { body } = await request(`${origin.url}/v2/${repository}/blobs/${digest}`);
  let received = 0;
  body.on('data', (chunk: Buffer) => (received += chunk.length));
  await expect(once(body, 'end')).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
  expect(received).toBe(5_000_001);
  expect(origin.bodyBytes()).toBe(5_000_001);
});

test('slow: takes as long as the rate says', async () => {
  const { url } = await faulty({ kind: 'slow', bytesPerSecond: 100 });
  const started = performance.now();
  expect(await (await fetch(url)).text()).toBe(text);
  expect(performance.now() - started).toBeGreaterThan(120);
});

test('flip-byte: one byte differs, and stays where it is when a range is asked for', async () => {
  const { url } = await faulty({ kind: 'flip-byte', atByte: 10 });
  const damaged = Buffer.from(text);
  damaged.writeUInt8(damaged.readUInt8(10) ^ 0xff, 10);
  expect(Buffer.from(await (await fetch(url)).arrayBuffer())).toEqual(damaged);
  const part = await fetch(url, { headers: { range: 'bytes=9-11' } });
  expect(Buffer.from(await part.arrayBuffer())).toEqual(damaged.subarray(9, 12));
  const before = await fetch(url, { headers: { range: 'bytes=0-9' } });
  expect(await before.text()).toBe('0123456789');
});

test('oversize: more than the descriptor says, with a length that fits', async () => {
  const { url } = await faulty({ kind: 'oversize', extraBytes: 4 });
  const answer = await fetch(url);
  expect(answer.headers.get('content-length')).toBe('20');
  expect(await answer.text()).toBe(`${text}\0\0\0\0`);
  const tail = await fetch(url, { headers: { range: 'bytes=14-' } });
  expect(await tail.text()).toBe('ef\0\0\0\0');
});

test.each([20, 10])('content-length: %i is announced, 16 bytes are sent', async (bytes) => {
  const { url } = await faulty({ kind: 'content-length', bytes });
  const { head, body } = await wire(url);
  expect(head).toContain(`content-length: ${bytes}`);
  expect(body).toBe(text);
});

test('chunked: no length is announced', async () => {
  const { url } = await faulty({ kind: 'chunked' });
  const answer = await fetch(url);
  expect(answer.headers.get('content-length')).toBeNull();
  expect(answer.headers.get('transfer-encoding')).toBe('chunked');
  expect(await answer.text()).toBe(text);
});

test('ignore-range: the whole comes with 200', async () => {
  const { url } = await faulty({ kind: 'ignore-range' });
  const answer = await fetch(url, { headers: { range: 'bytes=4-7' } });
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe(text);
});

test('status: with a body of either kind', async () => {
  const { url: plain } = await faulty({ kind: 'status', status: 503, body: 'down', headers: { 'retry-after': '2' } });
  const answer = await fetch(plain);
  expect([answer.status, answer.headers.get('retry-after'), await answer.text()]).toEqual([503, '2', 'down']);

  const { url: json } = await faulty(pullLimitReached({ 'retry-after': '60' }));
  const limited = await fetch(json);
  expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '60']);
  expect(await limited.json()).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] });

  const { url: abuse } = await faulty(abuseLimitReached());
  expect(await (await fetch(abuse)).text()).toContain('HAP429');
});

test('status: a 401 carries the challenge of the registry', async () => {
  const { url } = await faulty({ kind: 'status', status: 401 }, { auth: 'token' });
  const answer = await fetch(url);
  expect(answer.headers.get('www-authenticate')).toContain(`scope="repository:${repository}:pull"`);
});

test('redirect: to any place', async () => {
  const { origin, url } = await faulty({ kind: 'redirect', to: 'http://elsewhere.test/x', status: 302 });
  const answer = await fetch(url, { redirect: 'manual' });
  expect([answer.status, answer.headers.get('location')]).toEqual([302, 'http://elsewhere.test/x']);
  expect(origin.count({ status: 302 })).toBe(1);
});

test('redirect-loop: never ends', async () => {
  const { origin, url } = await faulty({ kind: 'redirect-loop' });
  await expect(fetch(url)).rejects.toMatchObject({ cause: { message: 'redirect count exceeded' } });
  expect(origin.count({ status: 307 })).toBeGreaterThan(10);
});

test('digest-header: wrong or missing', async () => {
  const origin = await FakeRegistry.start();
  onTestFinished(() => origin.stop());
  origin.addImage(repository, 'v1', { layers: [] });
  origin.faults.add({ when: { reference: 'v1' }, times: 1, do: { kind: 'digest-header', value: 'sha256:bad' } });
  const digest = async () =>
    (await fetch(`${origin.url}/v2/${repository}/manifests/v1`)).headers.get('docker-content-digest');
  expect(await digest()).toBe('sha256:bad');
  origin.faults.add({ when: { reference: 'v1' }, do: { kind: 'digest-header', value: undefined } });
  expect(await digest()).toBeNull();
});

test('content-encoding: really encoded, or only called so', async () => {
  const { url: encoded } = await faulty({ kind: 'content-encoding', as: 'gzip' });
  const gzip = await request(encoded);
  expect(gzip.headers['content-encoding']).toBe('gzip');
  expect(gunzipSync(await gzip.body.arrayBuffer()).toString()).toBe(text);
  const { url: labelled } = await faulty({ kind: 'content-encoding', as: 'label-only' });
  const label = await request(labelled);
  expect(label.headers['content-encoding']).toBe('gzip');
  expect(await label.body.text()).toBe(text);
});

test('headers: are added', async () => {
  const { url } = await faulty({ kind: 'headers', headers: { 'set-cookie': 'a=b', 'content-type': 'text/html' } });
  const { headers } = await fetch(url);
  expect([headers.get('set-cookie'), headers.get('content-type')]).toEqual(['a=b', 'text/html']);
});

test('a fault hits the n-th of its requests, or so many of them, or all until it is removed', async () => {
  const origin = await FakeRegistry.start();
  onTestFinished(() => origin.stop());
  const down: Fault = { kind: 'status', status: 500 };
  const statuses = async (count: number) => {
    const seen: number[] = [];
    for (let asked = 0; asked < count; asked += 1) seen.push((await fetch(`${origin.url}/v2/`)).status);
    return seen;
  };
  origin.faults.add({ when: { kind: 'ping', nth: 2 }, do: down });
  expect(await statuses(3)).toEqual([200, 500, 200]);
  origin.faults.add({ when: { kind: 'ping' }, times: 2, do: down });
  expect(await statuses(3)).toEqual([500, 500, 200]);
  const always = origin.faults.add({ when: {}, do: down });
  expect(await statuses(2)).toEqual([500, 500]);
  expect(always.hits).toBe(2);
  always.remove();
  expect(await statuses(1)).toEqual([200]);
  origin.faults.add({ when: { kind: 'blob' }, do: down });
  expect(await statuses(1)).toEqual([200]);
});

test('faults that hit the same request add up', async () => {
  const { origin, url } = await faulty({ kind: 'chunked' });
  origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'cut', afterBytes: 3 } });
  const { head, body } = await wire(url);
  expect(head).toContain('transfer-encoding: chunked');
  expect(body).toBe('3\r\n012\r\n');
  origin.faults.clear();
  expect(await (await fetch(url)).text()).toBe(text);
});

test('the token endpoint and the CDN fail as well', async () => {
  const { origin, url } = await faulty({ kind: 'headers', headers: {} }, { cdn: true, separateTokenServer: true });
  origin.faults.add({ when: { kind: 'cdn' }, do: { kind: 'cut', afterBytes: 5 } });
  await expect((await fetch(url)).text()).rejects.toThrow();
  origin.faults.add({ when: { kind: 'token' }, do: { kind: 'status', status: 500 } });
  expect((await fetch(`${origin.url}/token`)).status).toBe(500);
});
