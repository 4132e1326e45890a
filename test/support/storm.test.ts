import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { mutators } from './mutate/mutators.ts';
import { mutationAt } from './mutate.ts';
import { pushSession } from './push-session.ts';
import { storm } from './storm.ts';

const parts = { repository: 'local/a', other: 'local/b', host: '127.0.0.1:1' };
const session = pushSession(parts);
const indexes = Array.from({ length: 5_000 }, (_, index) => index);

test('a mutation is the same again for the same seed, and another one for another seed', () => {
  const [once, again, other] = [7, 7, 8].map((seed) =>
    indexes.slice(0, 200).map((index) => {
      const { head, body } = mutationAt(session, seed, index);
      return Buffer.concat([head, body]).toString('latin1');
    }),
  );
  expect(again).toEqual(once);
  expect(other).not.toEqual(once);
});

test('every kind of mutation comes up, and so does every request of the session', () => {
  const made = indexes.map((index) => mutationAt(session, 1, index));
  expect(new Set(made.flatMap(({ what }) => what))).toEqual(new Set(mutators.map(([name]) => name)));
  expect(new Set(made.map(({ method }) => method)).size).toBeGreaterThan(10);
});

test('a mutation that is not called misframed says how long its body is', () => {
  for (const mutation of indexes.map((index) => mutationAt(session, 1, index)).filter((one) => !one.isMisframed)) {
    const head = mutation.head.toString();
    const told = /\r\nContent-Length: (\d+)\r\n/.exec(head)?.[1];
    const isChunked = head.includes('\r\nTransfer-Encoding: chunked\r\n');
    if (isChunked) expect([told, mutation.body.toString('latin1').endsWith('0\r\n\r\n')]).toEqual([undefined, true]);
    else expect(Number(told ?? 0), `${mutation.index}: ${mutation.what.join()}`).toBe(mutation.body.length);
  }
});

const errorBody = '{"errors":[{"code":"UNSUPPORTED","message":"no"}]}';

function refuse(response: ServerResponse, status = 404): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(errorBody);
}

/** A server that answers every request like this. */
async function stormOn(answer: (request: IncomingMessage, response: ServerResponse) => void, answerMs = 5_000) {
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
    response.on('error', () => undefined);
    request.on('error', () => undefined).resume();
    answer(request, response);
  });
  server.on('checkExpectation', (_, response) => refuse(response, 417));
  server.on('clientError', (_, socket) => {
    socket.end(`HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n${errorBody}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    return await storm({ ...parts, url: `http://127.0.0.1:${port}`, seed: 1, count: 300, connections: 8, answerMs });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('a server that refuses everything properly gives nothing to find', async () => {
  const { findings, outcomes } = await stormOn((_, response) => refuse(response));
  expect(findings).toEqual([]);
  expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(300);
  expect(outcomes.get('404')).toBeGreaterThan(150);
});

test.each<[string, RegExp, (request: IncomingMessage, response: ServerResponse) => void]>([
  ['a 500', /^status 500/, (_, response) => refuse(response, 500)],
  [
    'an error that is text',
    /^an error of type "text\/plain"/,
    (_, response) => response.writeHead(404, { 'content-type': 'text/plain' }).end('404'),
  ],
  ['an error without a body', /^an error of type ""/, (_, response) => response.writeHead(404).end()],
  [
    'JSON that is no OCI error',
    /no OCI error/,
    (_, response) => response.writeHead(400, { 'content-type': 'application/json' }).end('{}'),
  ],
  ['an answer that is cut', /^the connection was closed/, (_, response) => response.destroy()],
  [
    'an injected header',
    /^a header of the answer/,
    (_, response) => response.writeHead(202, { 'x-injected': '1' }).end(),
  ],
  [
    'a stack trace',
    /^a stack trace/,
    (_, response) => {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ errors: [{ code: 'X', message: 'Error: x\n    at f (file.ts:1:1)' }] }));
    },
  ],
])('%s is found', async (_, trouble, misbehave) => {
  const { findings } = await stormOn((request, response) => {
    if (request.method === 'PUT') misbehave(request, response);
    else refuse(response);
  });
  expect(findings.length).toBeGreaterThan(5);
  for (const finding of findings) expect(finding.trouble).toMatch(trouble);
});

test('a server that says nothing is found, and the storm goes on to its end', async () => {
  const { findings, outcomes } = await stormOn((request, response) => {
    if (request.method !== 'DELETE') refuse(response);
  }, 50);
  expect(findings.map(({ trouble }) => trouble)).toContain('no whole answer in time');
  expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(300);
});
