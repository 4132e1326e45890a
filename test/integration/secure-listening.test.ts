import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { expect, test } from 'vitest';
import { clientOf } from '../../src/http/client.ts';
import { clientCertificateName } from '../../src/http/client-certificate.ts';
import { createTlsServer, secureContext } from '../../src/http/tls-server.ts';
import { createLogger } from '../../src/ops/logger.ts';
import { authority, clientCertificate, serverCertificate } from '../support/certificates.ts';
import { SecureClient } from '../support/secure-client.ts';

const nowhere = createLogger({ level: 'error', format: 'json' }, new Writable({ write: (_, __, done) => done() }));
const [ca, clients, strangers] = [await authority(), await authority('Clients'), await authority('Strangers')];

/** Answers with the name in the client's certificate. */
async function open(options: { readonly handshakeTimeoutMs?: number } = {}) {
  const { cert, key } = await serverCertificate(ca);
  const asked: string[] = [];
  const material = { cert, key, clientCa: clients.cert };
  const { server, handshakes } = createTlsServer({}, { material, log: nowhere, ...options }, (request, response) => {
    const answer = `name=${String(clientCertificateName(request.socket))} by=${clientOf(request, []).protocol}`;
    asked.push(answer);
    response.setHeader('Content-Length', answer.length).end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    asked,
    server,
    handshakes,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function ask(url: string, options: ConnectionOptions): Promise<string> {
  using client = await SecureClient.connect(url, { ca: ca.cert, ...options });
  return (await client.get('/')).split('\r\n\r\n')[1] ?? '';
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'over %s, who has a certificate is known by its name',
  async (maxVersion) => {
    await using server = await open();
    const bob = await clientCertificate(clients, 'bob');
    expect(await ask(server.url, { ...bob, maxVersion })).toBe('name=bob by=https');
    expect(await ask(server.url, { maxVersion })).toBe('name=undefined by=https');
  },
);

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'over %s, a certificate of another authority is refused before any request',
  async (maxVersion) => {
    await using server = await open();
    const mallory = await clientCertificate(strangers, 'bob');
    await expect(ask(server.url, { ...mallory, maxVersion })).rejects.toThrow();
    expect(server.asked).toEqual([]);
  },
);

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'over %s, a session of someone whose authority is not one any more is not resumed',
  async (maxVersion) => {
    await using server = await open();
    const bob = { ...(await clientCertificate(clients, 'bob')), ca: ca.cert, maxVersion };
    using first = await SecureClient.connect(server.url, bob);
    const sessions: Buffer[] = [];
    first.socket.on('session', (session) => sessions.push(session));
    await first.get('/');
    const session = sessions.at(-1) ?? first.socket.getSession()!;
    {
      using again = await SecureClient.connect(server.url, { ...bob, session });
      expect(again.socket.isSessionReused()).toBe(true);
      expect(await again.get('/')).toContain('name=bob');
    }
    server.server.setSecureContext(secureContext({ ...(await serverCertificate(ca)), clientCa: strangers.cert }));
    await expect(ask(server.url, { ...bob, session })).rejects.toThrow();
  },
);

test('a session that is resumed without a certificate has no name', async () => {
  await using server = await open();
  using first = await SecureClient.connect(server.url, { ca: ca.cert });
  const [session] = (await Promise.all([once(first.socket, 'session'), first.get('/')]))[0] as [Buffer];
  using second = await SecureClient.connect(server.url, { ca: ca.cert, session });
  expect(second.socket.isSessionReused()).toBe(true);
  expect(await second.get('/')).toContain('name=undefined');
});

test('a handshake that does not come to its end is cut', async () => {
  await using server = await open({ handshakeTimeoutMs: 100 });
  const socket = connect(server.port, '127.0.0.1');
  // The beginning of a record, and no more.
  socket.resume().write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  await once(server.server, 'connection');
  const [waiting] = server.handshakes;
  await Promise.all([once(socket, 'close'), once(waiting!, 'close')]);
  expect(server.handshakes.size).toBe(0);
  expect(await ask(server.url, {})).toContain('name=undefined');
});

test('a connection whose handshake is done, or was given up, is none of those that wait for it', async () => {
  await using server = await open();
  using client = await SecureClient.connect(server.url, { ca: ca.cert });
  await client.get('/');
  expect(server.handshakes.size).toBe(0);
  const socket = connect(server.port, '127.0.0.1');
  await once(server.server, 'connection');
  expect(server.handshakes.size).toBe(1);
  const [waiting] = server.handshakes;
  const gone = once(waiting!, 'close');
  socket.destroy();
  await gone;
  expect(server.handshakes.size).toBe(0);
});
