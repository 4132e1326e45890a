import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

const MiB = 1024 * 1024;
const pieceBytes = 4 * MiB;
const pieces = 64;
const measuredEvery = 8;
/** What is on the way through sockets and streams, on both sides. */
const maxHeldBytes = 64 * MiB;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('an upload that is still coming in holds on to none of the bytes that are written', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url, { access: { anonymous: { pull: true, push: true } } });
  const begun = await daemon.get('/v2/local/large/blobs/uploads/', { method: 'POST' });
  expect(begun.status).toBe(202);
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  function* body(): Generator<Buffer> {
    for (let index = 1; index <= pieces; index += 1) {
      yield Buffer.alloc(pieceBytes, index);
      if (index % measuredEvery !== 0) continue;
      collectGarbage();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
  }
  const sending = request(`${daemon.url}${begun.headers.get('location') ?? ''}`, { method: 'PATCH', agent: false });
  const answered = once(sending, 'response') as Promise<[IncomingMessage]>;
  const [[answer]] = await Promise.all([answered, pipeline(Readable.from(body()), sending)]);
  answer.resume();
  expect([answer.statusCode, answer.headers['range']]).toEqual([202, `0-${pieces * pieceBytes - 1}`]);
  expect(most).toBeLessThan(maxHeldBytes);
});
