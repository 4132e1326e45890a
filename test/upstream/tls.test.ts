import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import { expect, test } from 'vitest';
import { certificate, key } from './certificate.ts';
import { ask, containing, failureOf, name, opened, reference, SmallServer, upstreamOf, valueOf } from './support.ts';

async function start(handler: RequestListener, settings: object = {}) {
  const server = await SmallServer.start(handler, createServer({ cert: certificate, key }));
  const upstream = upstreamOf(`https://127.0.0.1:${server.port}`, settings);
  opened.push(server, upstream);
  return { server, upstream };
}

const answer: RequestListener = (_, response) => response.end('{}');

test('a certificate that nobody vouches for is not accepted, and not tried again', async () => {
  const { server, upstream } = await start(answer);
  const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
  expect(failure).toMatchObject({ kind: 'unavailable', reason: containing('SELF_SIGNED') });
  expect(failure.reason).toContain('the setting ca');
  expect(server.requests).toHaveLength(0);
  expect(upstream.events).toHaveLength(1);
  expect(failureOf(await upstream.getManifest(name(), reference(), ask)).reason).toMatch(/not asked again/);
});

test('TLS with a port that speaks none is told as that', async () => {
  const plain = await SmallServer.start(answer);
  const upstream = upstreamOf(`https://127.0.0.1:${plain.port}`);
  opened.push(plain, upstream);
  const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
  expect(failure).toMatchObject({ kind: 'unavailable', reason: containing('does not speak TLS') });
});

test('a certificate is accepted by the configured authority', async () => {
  const { upstream } = await start(answer, { ca: certificate });
  valueOf(await upstream.getManifest(name(), reference(), ask));
});

test('a certificate is not looked at where the configuration says so', async () => {
  const { upstream } = await start(answer, { insecure: true });
  valueOf(await upstream.getManifest(name(), reference(), ask));
});

test('a redirect from https to http is a wrong answer, and nothing is asked there', async () => {
  const plain = await SmallServer.start(answer);
  opened.push(plain);
  const redirect: RequestListener = (_, response) => response.writeHead(307, { location: plain.url }).end();
  const { upstream } = await start(redirect, { insecure: true });
  const failure = failureOf(await upstream.getManifest(name(), reference(), ask));
  expect(failure).toMatchObject({ kind: 'wrong-answer', reason: containing('from https to http') });
  expect(plain.requests).toHaveLength(0);
});

test('the account never goes to a token endpoint without TLS for an endpoint that has it', async () => {
  const plain = await SmallServer.start((_, response) => response.end('{"token":"abc"}'));
  opened.push(plain);
  const challenge: RequestListener = (request, response) => {
    if (request.headers.authorization === 'Bearer abc') response.end('{}');
    else response.writeHead(401, { 'www-authenticate': `Bearer realm="${plain.url}/token"` }).end();
  };
  const { upstream } = await start(challenge, { insecure: true, credentials: { username: 'team', password: 'x' } });
  const manifest = valueOf(await upstream.getManifest(name(), reference(), ask));
  expect(manifest.withCredentials).toBe(false);
  expect(plain.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
});
