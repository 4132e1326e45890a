import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as dial, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { FakeRegistry, Gate, silentServer, unusedPort } from '../support/fake-registry.ts';
import {
  ask,
  bytesOf,
  containing,
  digest,
  failureOf,
  millisecondsOf,
  name,
  opened,
  reference,
  SmallServer,
  upstreamOf,
  valueOf,
} from './support.ts';

async function start(...rest: [object?, object?]) {
  const registry = await FakeRegistry.start();
  const image = registry.addImage(name(), 'latest', { layers: [Buffer.from('layer')] });
  const upstream = upstreamOf(registry.url, ...rest);
  opened.push(registry, upstream);
  const head = (more: object = {}) => upstream.headManifest(name(), reference(), { ...ask, ...more });
  return { registry, image, upstream, head };
}

async function startSilent() {
  const server = await silentServer();
  opened.push({ [Symbol.asyncDispose]: () => server.stop() });
  return server;
}

describe('a try again', () => {
  test.each([408, 500, 502, 503, 504])('follows a passing %i, with growing pauses', async (status) => {
    const { registry, upstream, head } = await start();
    registry.faults.add({ when: {}, times: 2, do: { kind: 'status', status } });
    valueOf(await head());
    expect(registry.count()).toBe(3);
    expect(upstream.clock.slept).toEqual([75, 150]);
  });

  test('follows a connection that was closed without an answer', async () => {
    const { registry, head } = await start();
    registry.faults.add({ when: {}, times: 2, do: { kind: 'refuse' } });
    valueOf(await head());
    expect(registry.count()).toBe(3);
  });

  test('is not made a third time, nor after any other status', async () => {
    const { registry, head } = await start();
    const fault = registry.faults.add({ when: {}, do: { kind: 'status', status: 502 } });
    expect(failureOf(await head()).kind).toBe('unavailable');
    expect(registry.count()).toBe(3);
    fault.remove();
    registry.resetCounters();
    registry.faults.add({ when: {}, do: { kind: 'status', status: 404 } });
    expect(failureOf(await head()).kind).toBe('not-found');
    expect(registry.count()).toBe(1);
  });

  test('is not made where the deadline leaves no room for the pause', async () => {
    const { registry, head } = await start({}, { limits: { backoffMs: 10_000 } });
    registry.faults.add({ when: {}, do: { kind: 'status', status: 502 } });
    expect(failureOf(await head()).kind).toBe('unavailable');
    expect(registry.count()).toBe(1);
  });

  test('is never made once a body was handed out', async () => {
    const { registry, image, upstream } = await start();
    registry.faults.add({ when: { kind: 'blob' }, do: { kind: 'cut', afterBytes: 2 } });
    const layer = digest(image.layers[0]?.digest);
    const blob = valueOf(await upstream.getBlob(name(), layer, { first: 0 }, ask));
    await expect(bytesOf(blob)).rejects.toThrow();
    expect(registry.count()).toBe(1);
  });
});

describe('what cannot be asked fails soon: ', () => {
  test('a refused connection, well under two seconds', async () => {
    const nobody = `http://127.0.0.1:${await unusedPort()}`;
    const upstream = upstreamOf(nobody, {}, { clock: realClock });
    opened.push(upstream);
    const elapsed = await millisecondsOf(async () => {
      const failure = failureOf(await upstream.getManifest(name(), reference(), { deadlineMs: 10_000 }));
      expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 });
      expect(failure.reason).toBe(`${nobody} cannot be asked: it refuses connections (ECONNREFUSED)`);
    });
    expect(elapsed).toBeLessThan(1_000);
    expect(upstream.events).toHaveLength(3);
  });

  test('a swallowed connection, within five seconds and once, for one endpoint or two', async () => {
    const hole = await blackHole();
    const [one, two] = [upstreamOf(hole), upstreamOf([hole, `${hole}/second`])];
    opened.push(one, two);
    const patient = { deadlineMs: 20_000 };
    const waits = await Promise.all(
      [one, two].map((upstream) =>
        millisecondsOf(async () => {
          const failure = failureOf(await upstream.headManifest(name(), reference(), patient));
          expect(failure).toMatchObject({ kind: 'unavailable', reason: containing('too long') });
        }),
      ),
    );
    for (const wait of waits) expect(wait).toBeLessThan(5_000);
    expect(one.events).toHaveLength(1);
    expect(two.events).toHaveLength(2);
  });

  test('a name that DNS does not know, once', async () => {
    const upstream = upstreamOf('http://registry.invalid');
    opened.push(upstream);
    const failure = failureOf(await upstream.headManifest(name(), reference(), ask));
    expect(failure.kind).toBe('unavailable');
    expect(upstream.events).toHaveLength(1);
  });

  test('silence, at the deadline and not asked again', async () => {
    const server = await startSilent();
    const upstream = upstreamOf(server.url);
    opened.push(upstream);
    const elapsed = await millisecondsOf(async () => {
      const failure = failureOf(await upstream.headManifest(name(), reference(), { deadlineMs: 400 }));
      expect(failure.reason).toMatch(/did not answer within 0\.4 s/);
    });
    expect(elapsed).toBeGreaterThan(390);
    expect(elapsed).toBeLessThan(800);
    expect(upstream.events).toHaveLength(1);
    expect(failureOf(await upstream.headManifest(name(), reference(), ask)).reason).toMatch(/not asked again/);
  });

  test('headers that trickle do not stretch the deadline', async () => {
    const server = await SmallServer.start((_, response) => {
      response.socket?.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => response.socket?.write('X-More: 1\r\n'), 50);
      response.on('close', () => clearInterval(timer));
    });
    const upstream = upstreamOf(server.url);
    opened.push(server, upstream);
    const elapsed = await millisecondsOf(() => upstream.headManifest(name(), reference(), { deadlineMs: 400 }));
    expect(elapsed).toBeLessThan(800);
  });
});

describe('the circuit', () => {
  test('opens when no connection is made, and closes with the first answer', async () => {
    const { registry, upstream, head } = await start();
    await registry.kill();
    expect(failureOf(await head())).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 });
    expect(upstream.events).toHaveLength(3);
    upstream.clock.pass(3);
    const failure = failureOf(await head());
    expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 2 });
    expect(failure.reason).toMatch(/\(ECONNREFUSED\); not asked again for 2 s$/);
    expect(upstream.events).toHaveLength(3);
    await registry.revive();
    upstream.clock.pass(2);
    valueOf(await head());
    valueOf(await head());
    expect(upstream.logged().match(/upstream is (down|back)/g)).toEqual(['upstream is down', 'upstream is back']);
  });

  test('lets exactly one ask probe while the others fail at once', async () => {
    const { registry, upstream, head } = await start();
    await registry.kill();
    await head();
    await registry.revive();
    const gate = new Gate();
    registry.faults.add({ when: {}, do: { kind: 'gate', gate } });
    upstream.clock.pass(5);
    const probe = head();
    await gate.reached;
    for (const other of await Promise.all([head(), head(), head()])) {
      expect(failureOf(other).reason).toMatch(/being probed right now/);
    }
    gate.open();
    valueOf(await probe);
    expect(registry.count()).toBe(1);
  });

  test('stays open when the probe fails', async () => {
    const { registry, upstream, head } = await start();
    await registry.kill();
    await head();
    upstream.clock.pass(5);
    await head();
    expect(upstream.events).toHaveLength(6);
    await head();
    expect(upstream.events).toHaveLength(6);
  });

  test('is not stuck when the asker of the probe leaves', async () => {
    const { registry, upstream, head } = await start();
    await registry.kill();
    await head();
    await registry.revive();
    const gate = new Gate();
    const fault = registry.faults.add({ when: {}, do: { kind: 'gate', gate } });
    upstream.clock.pass(5);
    const asker = new AbortController();
    const probe = head({ signal: asker.signal });
    await gate.reached;
    asker.abort();
    expect(failureOf(await probe).kind).toBe('unavailable');
    fault.remove();
    valueOf(await head());
  });

  test('is not opened by an asker who leaves, nor by an error in an answer', async () => {
    const { registry, head } = await start();
    const fault = registry.faults.add({ when: {}, do: { kind: 'hang' } });
    const asker = new AbortController();
    const left = head({ signal: asker.signal });
    await registry.waitFor({}, 1);
    asker.abort();
    await left;
    fault.remove();
    const error = registry.faults.add({ when: {}, do: { kind: 'status', status: 500 } });
    await head();
    error.remove();
    valueOf(await head());
  });

  test('does not stay open because the clock was set back', async () => {
    const { registry, upstream, head } = await start();
    await registry.kill();
    await head();
    await registry.revive();
    upstream.clock.pass(-3_600);
    valueOf(await head());
  });

  test('an ask that is over before it began asks nobody', async () => {
    const { registry, head } = await start();
    expect(failureOf(await head({ signal: AbortSignal.abort() })).kind).toBe('unavailable');
    expect(registry.count()).toBe(0);
  });
});

const realClock = {
  now: () => Date.now(),
  sleep: (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds)),
};

/** An address that takes a connection request and never answers: a listener that accepts nothing, with its queue full. */
async function blackHole(): Promise<string> {
  const script = `const server = require('node:net').createServer();
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child: ChildProcess = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(child.stdout!, 'data')) as [Buffer];
  const fillers: Socket[] = Array.from({ length: 8 }, () =>
    dial(Number(port.toString()), '127.0.0.1').on('error', () => undefined),
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  opened.push({
    [Symbol.asyncDispose]: async () => {
      for (const filler of fillers) filler.destroy();
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  });
  return `http://127.0.0.1:${port.toString()}`;
}
