import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Client, clientOf, publicUrlOf } from '../../src/http/client.ts';
import { parseAddressRange } from '../../src/oci/address-range.ts';

const server = createServer((request, response) => {
  const { trusted = '' } = Object.fromEntries(new URL(request.url ?? '', 'http://x').searchParams);
  const ranges = trusted.split(',').flatMap((range) => {
    const parsed = parseAddressRange(range);
    return parsed.ok ? [parsed.value] : [];
  });
  response.end(JSON.stringify(clientOf(request, ranges)));
});
let port = 0;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => server.close());

/** What the server thinks of a request with these header lines. */
async function asked(trusted: string, headers: readonly string[], version = '1.1'): Promise<Client> {
  const socket = connect(port, '127.0.0.1');
  const lines = [`GET /?trusted=${trusted} HTTP/${version}`, ...headers, 'Connection: close', '', ''];
  socket.write(lines.join('\r\n'), 'latin1');
  const [, body = ''] = (await text(socket)).split('\r\n\r\n');
  return JSON.parse(/\{.*\}/.exec(body)?.[0] ?? '{}') as Client;
}

const proxies = '127.0.0.0/8,10.0.0.0/24,fd00::/8';
const forwardedFor = (...addresses: string[]) => [`X-Forwarded-For: ${addresses.join(', ')}`];

test.each([
  ['nobody is trusted', '', forwardedFor('192.0.2.7'), '127.0.0.1'],
  ['only others are trusted', '10.0.0.0/24', forwardedFor('192.0.2.7'), '127.0.0.1'],
  ['there is no header', proxies, [], '127.0.0.1'],
  ['the proxy says so', proxies, forwardedFor('192.0.2.7'), '192.0.2.7'],
  ['a client says what it likes', proxies, forwardedFor('203.0.113.1', '192.0.2.7'), '192.0.2.7'],
  ['proxies stand behind each other', proxies, forwardedFor('192.0.2.7', '10.0.0.3', 'fd00::1'), '192.0.2.7'],
  ['a client claims to be a proxy', proxies, forwardedFor('203.0.113.1', '192.0.2.7', '10.0.0.3'), '192.0.2.7'],
  ['all are proxies', proxies, forwardedFor('10.0.0.9', '10.0.0.3'), '10.0.0.9'],
  ['it comes in several lines', proxies, [...forwardedFor('192.0.2.7'), ...forwardedFor('10.0.0.3')], '192.0.2.7'],
  ['a port stands behind it', proxies, forwardedFor('192.0.2.7:4711'), '192.0.2.7'],
  ['it is IPv6', proxies, forwardedFor('2001:DB8::7'), '2001:db8::7'],
  ['it is IPv6 with a port', proxies, forwardedFor('[2001:db8::7]:4711'), '2001:db8::7'],
  ['it is IPv4 in IPv6', proxies, forwardedFor('::ffff:192.0.2.7'), '192.0.2.7'],
  ['it is no address', proxies, forwardedFor('192.0.2.7', 'unknown'), '127.0.0.1'],
  ['it is no address further back', proxies, forwardedFor('unknown', '10.0.0.3'), '10.0.0.3'],
  ['it is empty', proxies, ['X-Forwarded-For: ,, ,'], '127.0.0.1'],
  ['it is something else', proxies, ['X-Forwarded-For: [[::1]]:x, \u00ff%00<script>'], '127.0.0.1'],
  [
    'it goes on and on',
    proxies,
    forwardedFor('192.0.2.7', ...Array.from({ length: 99 }, () => '10.0.0.3')),
    '10.0.0.3',
  ],
])('the address of a client, where %s', async (_, trusted, headers, address) => {
  expect((await asked(trusted, ['Host: mirror.lan', ...headers])).address).toBe(address);
});

const says = ['X-Forwarded-Proto: https', 'X-Forwarded-Host: public.example:8443'];

test.each([
  ['nobody is trusted', '', says, 'http://mirror.lan:5000'],
  ['the proxy says so', proxies, says, 'https://public.example:8443'],
  ['only the protocol is said', proxies, ['X-Forwarded-Proto: HTTPS'], 'https://mirror.lan:5000'],
  [
    'every proxy adds its own, and so did the client',
    proxies,
    [
      ...forwardedFor('203.0.113.1', '192.0.2.7', '10.0.0.3'),
      'X-Forwarded-Proto: http, https, http',
      'X-Forwarded-Host: evil.example, public.example, inner.lan',
    ],
    'https://public.example',
  ],
  ['the protocol is none of ours', proxies, ['X-Forwarded-Proto: gopher'], 'http://mirror.lan:5000'],
  ['the host is no host', proxies, ['X-Forwarded-Host: evil.example/path"'], 'http://mirror.lan:5000'],
  ['the host has an account', proxies, ['X-Forwarded-Host: a:b@evil.example'], 'http://mirror.lan:5000'],
  ['the host has no such port', proxies, ['X-Forwarded-Host: evil.example:99999'], 'http://mirror.lan:5000'],
  ['the host has no end', proxies, [`X-Forwarded-Host: ${'a'.repeat(5000)}`], 'http://mirror.lan:5000'],
  ['the host is IPv6', proxies, ['X-Forwarded-Host: [2001:db8::7]:443'], 'http://[2001:db8::7]:443'],
])('the URL of this server, where %s', async (_, trusted, headers, url) => {
  const client = await asked(trusted, ['Host: mirror.lan:5000', ...headers]);
  expect(publicUrlOf(client, undefined)).toBe(url);
  expect(publicUrlOf(client, 'https://said.example')).toBe('https://said.example');
});

test('without a Host header, or with a strange one, the address that was connected to is the host', async () => {
  expect(await asked('', [], '1.0')).toMatchObject({ host: `127.0.0.1:${port}` });
  expect(await asked('', ['Host: mirror.lan", realm="x'])).toMatchObject({ host: `127.0.0.1:${port}` });
});
