import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, rename, symlink } from 'node:fs/promises';
import { get } from 'node:https';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { StartupError } from '../../src/compose.ts';
import { authority, clientCertificate, day, PemFiles, serverCertificate, validity } from '../support/certificates.ts';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry, unusedPort } from '../support/fake-registry.ts';
import { SecureClient } from '../support/secure-client.ts';

const nobody = `http://127.0.0.1:${await unusedPort()}`;
const ca = await authority();

function start(files: PemFiles, more: object = {}): Promise<Daemon> {
  return Daemon.start(nobody, { listen: { host: '127.0.0.1', port: 0, tls: files.settings, ...more } });
}

function lines(daemon: Daemon, message: string) {
  return daemon.log.filter(({ msg }) => msg === message);
}

const kept = 'the new TLS files cannot be used, the old ones stay in use';

/** All that comes back over a connection without TLS. */
async function plain(url: string, said: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (piece: Buffer) => (text += piece.toString()));
  socket.on('error', () => undefined);
  socket.write(said);
  await once(socket, 'close');
  return text;
}

test('it speaks HTTPS with the certificate, and no TLS older than 1.2', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  expect(daemon.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  using client = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(client.socket.getProtocol()).toBe('TLSv1.3');
  expect(await client.get('/v2/')).toMatch(/^HTTP\/1\.1 200 /);
  using older = await SecureClient.connect(daemon.url, { ca: ca.cert, maxVersion: 'TLSv1.2' });
  expect(older.socket.getProtocol()).toBe('TLSv1.2');
  const ancient = { ca: ca.cert, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
  await expect(SecureClient.connect(daemon.url, ancient)).rejects.toThrow(/version|reset/i);
});

test('a blob comes over TLS byte for byte, from the upstream and from the cache', async () => {
  await using origin = await FakeRegistry.start();
  const layer = randomBytes(8_000_000);
  const image = origin.addImage('library/app', '1.0', { layers: [layer] });
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await Daemon.start(origin.url, { listen: { host: '127.0.0.1', port: 0, tls: files.settings } });
  for (let round = 0; round < 2; round++) {
    const url = `${daemon.url}/v2/library/app/blobs/${image.layers[0]!.digest}`;
    const [answer] = (await once(get(url, { ca: ca.cert, agent: false }), 'response')) as [AsyncIterable<Buffer>];
    expect((await buffer(answer)).equals(layer)).toBe(true);
    await daemon.stored(image.layers[0]!.digest);
  }
  expect(origin.count({ kind: 'blob' })).toBe(1);
});

test('what is no valid request is answered over TLS as it is without', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  using long = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(await long.get(`/${'a'.repeat(30_000)}`)).toMatch(/^HTTP\/1\.1 431 [^]*SIZE_INVALID/);
  using strange = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(await strange.get('/ \0')).toMatch(/^HTTP\/1\.1 400 [^]*not a valid HTTP request/);
});

test('new files are taken over while a connection is open, which goes on as it was', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  using before = await SecureClient.connect(daemon.url, { ca: ca.cert });
  await before.get('/v2/');

  const renewed = await serverCertificate(ca);
  await files.put('server.key', renewed.key);
  await files.put('server.crt', renewed.cert);
  await daemon.reload({});
  await daemon.logged(({ msg }) => msg === 'TLS files reloaded');

  using after = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(after.serial).not.toBe(before.serial);
  expect(await before.get('/v2/')).toMatch(/^HTTP\/1\.1 200 /);
});

test('files that change by turning a symbolic link, as in Kubernetes, are seen without being told', {
  timeout: 30_000,
}, async () => {
  await using files = await PemFiles.with({});
  for (const version of ['one', 'two']) {
    const { cert, key } = await serverCertificate(ca);
    await mkdir(files.path(version));
    await files.put(`${version}/server.crt`, cert);
    await files.put(`${version}/server.key`, key);
  }
  await symlink('one', files.path('now'));
  const tls = { cert: files.path('now/server.crt'), key: files.path('now/server.key') };
  await using daemon = await start(files, { tls });
  using before = await SecureClient.connect(daemon.url, { ca: ca.cert });
  await symlink('two', files.path('next'));
  await rename(files.path('next'), files.path('now'));
  await daemon.logged(({ msg }) => msg === 'TLS files reloaded');
  using after = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(after.serial).not.toBe(before.serial);
});

test('a pair of which one half is new is not used; it is told once, and used when it is whole', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  using before = await SecureClient.connect(daemon.url, { ca: ca.cert });

  const renewed = await serverCertificate(ca);
  await files.put('server.crt', renewed.cert);
  await daemon.reload({});
  await daemon.logged(({ msg }) => msg === kept);
  await daemon.reload({});
  using meanwhile = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(meanwhile.serial).toBe(before.serial);

  await files.put('server.key', renewed.key);
  await daemon.reload({});
  await daemon.logged(({ msg }) => msg === 'TLS files reloaded');
  expect(lines(daemon, kept).map(({ reason }) => reason)).toEqual([
    `the key in ${files.path('server.key')} does not belong to the certificate in ${files.path('server.crt')}`,
  ]);
  using after = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(after.serial).not.toBe(before.serial);
});

test('other files are taken over from a new configuration', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using others = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  using before = await SecureClient.connect(daemon.url, { ca: ca.cert });
  await daemon.reload({ listen: { host: '127.0.0.1', port: 0, tls: others.settings } });
  await daemon.logged(({ msg }) => msg === 'TLS files reloaded');
  using after = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(after.serial).not.toBe(before.serial);
});

const pair = await serverCertificate(ca);
const sealedKey = pair.key.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY');

test.each([
  ['no certificate', { 'server.key': pair.key }, 'server.crt cannot be read: there is no such file'],
  ['no key', { 'server.crt': pair.cert }, 'server.key cannot be read: there is no such file'],
  ['a key for a certificate', { 'server.crt': pair.key, 'server.key': pair.key }, 'holds no certificate in PEM form'],
  [
    'a damaged certificate',
    { 'server.crt': pair.cert.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA'), 'server.key': pair.key },
    'server.crt holds a damaged certificate',
  ],
  [
    'a certificate for a key',
    { 'server.crt': pair.cert, 'server.key': pair.cert },
    'server.key holds no private key in PEM form',
  ],
  [
    'a key under a passphrase',
    { 'server.crt': pair.cert, 'server.key': sealedKey },
    'server.key holds a key with a passphrase',
  ],
  ['the key of another', { 'server.crt': pair.cert, 'server.key': ca.key }, 'does not belong to the certificate in'],
  [
    'a file without end',
    { 'server.crt': 'x'.repeat(1024 * 1024 + 1), 'server.key': pair.key },
    'larger than 1048576 bytes',
  ],
])('with %s it does not start, and says so in one sentence', async (_, pem, sentence) => {
  await using files = await PemFiles.with(pem);
  const starting = start(files);
  await expect(starting).rejects.toThrow(StartupError);
  await expect(starting).rejects.toThrow(sentence);
  await expect(starting).rejects.toThrow(/^TLS cannot be used: [^\n]*[^.\n]$/);
});

test.each([
  ['expired', validity(-2 * day, -day), /^the TLS certificate expired on \d{4}-\d\d-\d\d: clients refuse it$/],
  ['expires within two weeks', validity(-day, 13 * day), /^the TLS certificate expires on \d{4}-\d\d-\d\d$/],
  ['is not valid yet', validity(day, 2 * day), /^the TLS certificate is not valid before /],
])('a certificate that %s is warned of once, and served', async (_, during, message) => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca, during));
  await using daemon = await start(files);
  using client = await SecureClient.connect(daemon.url, { rejectUnauthorized: false });
  await client.get('/v2/');
  await daemon.reload({});
  await files.put('server.key', ca.key);
  await daemon.reload({});
  await daemon.logged(({ msg }) => msg === kept);
  const warnings = daemon.log.filter(({ msg }) => message.test(String(msg)));
  expect(warnings).toMatchObject([{ level: 'warn', cert: files.path('server.crt') }]);
});

test('a certificate that becomes bad by a reload is warned of', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  expect(daemon.log.filter(({ level }) => level === 'warn')).toEqual([]);
  const short = await serverCertificate(ca, validity(-day, day));
  await files.put('server.key', short.key);
  await files.put('server.crt', short.cert);
  await daemon.reload({});
  await daemon.logged(({ msg }) => String(msg).startsWith('the TLS certificate expires on'));
});

test('a client that speaks plain HTTP is told in plain HTTP', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  const answer = await plain(daemon.url, 'GET /v2/ HTTP/1.1\r\nHost: mirror.lan\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(answer).toContain('this port speaks TLS: use https://');
});

test('what is neither TLS nor HTTP is cut, told to the log, and costs nobody else anything', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  expect(await plain(daemon.url, `\u0000\u0001${'x'.repeat(1000)}`)).not.toContain('HTTP');
  await daemon.logged(({ msg, client }) => msg === 'a TLS handshake failed' && client === '127.0.0.1');
  using client = await SecureClient.connect(daemon.url, { ca: ca.cert });
  expect(await client.get('/v2/')).toMatch(/^HTTP\/1\.1 200 /);
});

test('connections without a finished handshake, or without a request, do not hold up a stop', async () => {
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await using daemon = await start(files);
  const silent = connect(Number(new URL(daemon.url).port), '127.0.0.1');
  silent.on('error', () => undefined);
  await once(silent, 'connect');
  const cut = once(silent.resume(), 'close');
  using unused = await SecureClient.connect(daemon.url, { ca: ca.cert });
  const began = performance.now();
  await daemon.stop();
  // The grace is 5 s.
  expect(performance.now() - began).toBeLessThan(3_000);
  await cut;
  expect(unused.socket.authorized).toBe(true);
});

test('a client certificate is not needed, but a wrong one is refused, also after a reload', async () => {
  const [ours, theirs] = [await authority('Clients'), await authority('Strangers')];
  await using files = await PemFiles.ofServer(await serverCertificate(ca));
  await files.put('clients.crt', ours.cert);
  await using daemon = await start(files, { clientCa: files.path('clients.crt') });
  const ask = async (certificate: object) => {
    using client = await SecureClient.connect(daemon.url, { ca: ca.cert, ...certificate });
    return await client.get('/v2/');
  };
  const [right, wrong] = [await clientCertificate(ours, 'bob'), await clientCertificate(theirs, 'bob')];
  expect(await ask(right)).toMatch(/^HTTP\/1\.1 200 /);
  expect(await ask({})).toMatch(/^HTTP\/1\.1 200 /);
  await expect(ask(wrong)).rejects.toThrow();
  await daemon.logged(({ msg }) => msg === 'a client certificate was refused');

  await files.put('clients.crt', theirs.cert);
  await daemon.reload({});
  await daemon.logged(({ msg }) => msg === 'TLS files reloaded');
  expect(await ask(wrong)).toMatch(/^HTTP\/1\.1 200 /);
  await expect(ask(right)).rejects.toThrow();

  // Whether certificates are asked for is settled at the start: without authorities of ours, the public ones would do.
  const renewed = await serverCertificate(ca);
  await files.put('server.key', renewed.key);
  await files.put('server.crt', renewed.cert);
  await daemon.reload({ listen: { host: '127.0.0.1', port: 0, tls: files.settings } });
  await daemon.logged(() => lines(daemon, 'TLS files reloaded').length === 2);
  expect(await ask(wrong)).toMatch(/^HTTP\/1\.1 200 /);
  await expect(ask(right)).rejects.toThrow();
});
