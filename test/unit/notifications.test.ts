import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/notifications/endpoint.ts';
import { defaultLimits } from '../../src/notifications/limits.ts';
import { Notifications, type NotificationsOptions } from '../../src/notifications/notifications.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { RegistryEvent } from '../../src/oci/registry-event.ts';
import { createLogger } from '../../src/ops/logger.ts';
import { tagNamed } from '../contract/words.ts';
import { type Answering, accepted, WebhookReceiver } from '../support/webhook-receiver.ts';

let dataPath: string;
let log = '';
const opened: AsyncDisposable[] = [];

beforeEach(async () => {
  dataPath = await mkdtemp(join(tmpdir(), 'entrepot-notifications-'));
  log = '';
});

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
  await rm(dataPath, { recursive: true });
});

const startOfTime = Date.parse('2026-01-01T00:00:00Z');

/** Its waits end at once; the time passes with them. */
class QuickClock {
  readonly slept: number[] = [];
  time = startOfTime;

  readonly now = (): number => this.time;

  readonly sleep = (milliseconds: number): Promise<void> => {
    this.slept.push(milliseconds);
    this.time += milliseconds;
    return Promise.resolve();
  };
}

/** Its waits end only with their signal: whoever has failed once does not try again. */
class StoppedClock {
  readonly #asleep = new EventTarget();
  time = startOfTime;

  readonly now = (): number => this.time;

  readonly sleep = (_: number, signal?: AbortSignal): Promise<void> => {
    this.#asleep.dispatchEvent(new Event('sleep'));
    return new Promise((resolve) => {
      signal?.addEventListener('abort', () => resolve());
    });
  };

  async untilAsleep(): Promise<void> {
    await once(this.#asleep, 'sleep');
  }
}

const sink = { write: (line: string) => (log += line) } as unknown as NodeJS.WritableStream;

/** Not closed by itself. */
function opening(endpoints: readonly Endpoint[], options: Partial<NotificationsOptions> = {}) {
  return Notifications.open({
    dataPath,
    endpoints,
    clock: new QuickClock(),
    log: createLogger({ level: 'debug', format: 'json' }, sink),
    sourceAddress: 'mirror:5000',
    version: '1.2.3',
    random: () => 1,
    ...options,
  });
}

async function open(...parameters: Parameters<typeof opening>): Promise<Notifications> {
  const notifications = await opening(...parameters);
  opened.push({ [Symbol.asyncDispose]: () => notifications.close() });
  return notifications;
}

/** To a receiver that fails, and then waits: what is put into the queue stays there. */
async function openStuck(endpoint: Endpoint, limits: NotificationsOptions['limits'] = {}) {
  const clock = new StoppedClock();
  const notifications = await open([endpoint], { clock, limits });
  const asleep = clock.untilAsleep();
  notifications.notify(event({ tag: tagNamed('first') }));
  await asleep;
  return { notifications, clock };
}

async function receive(...parameters: Parameters<typeof WebhookReceiver.start>): Promise<WebhookReceiver> {
  const receiver = await WebhookReceiver.start(...parameters);
  opened.push(receiver);
  return receiver;
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  await using receiver = await WebhookReceiver.start();
  return receiver.port;
}

function endpoint(url: string, settings: Partial<Endpoint> = {}): Endpoint {
  return { url, events: ['push', 'pull', 'delete'], headers: {}, ...settings };
}

const digest = digestOf(Buffer.from('manifest'));

function event(changes: Partial<RegistryEvent> = {}): RegistryEvent {
  return {
    action: 'push',
    repository: 'team/app',
    digest,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: 8,
    request: { id: 'r1', address: '10.0.0.7:4711', host: 'mirror:5000', method: 'PUT', userAgent: 'docker/27' },
    ...changes,
  };
}

function notifyTags(notifications: Notifications, tags: readonly string[], changes: Partial<RegistryEvent> = {}): void {
  for (const tag of tags) notifications.notify(event({ ...changes, tag: tagNamed(tag) }));
}

function numbered(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** All files of all queues. */
async function queueFiles(): Promise<readonly string[]> {
  const root = join(dataPath, 'notifications');
  const found: string[] = [];
  for (const name of await readdir(root)) {
    found.push(...(await readdir(join(root, name))).map((file) => join(root, name, file)));
  }
  return found.sort();
}

async function segments(): Promise<readonly string[]> {
  return (await queueFiles()).filter((path) => path.endsWith('.ndjson'));
}

async function queueBytes(): Promise<number> {
  let bytes = 0;
  for (const path of await segments()) bytes += (await stat(path)).size;
  return bytes;
}

function logged(message: string): number {
  return log.split('\n').filter((line) => line.includes(message)).length;
}

const fails: Answering = (response) => response.writeHead(500).end('broken');

describe('what is sent', () => {
  test('an event has the form that registry:2 gives it', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(`${receiver.url}/hook?a=b`, { headers: { 'X-Token': 'abc' } })]);
    notifications.notify(event({ tag: tagNamed('v1'), url: 'http://mirror:5000/v2/team/app/x', actor: 'bob' }));
    await receiver.until(({ length }) => length === 1);
    const [{ path, headers, events }] = receiver.requests as [(typeof receiver.requests)[0]];
    expect(path).toBe('/hook?a=b');
    expect(headers).toMatchObject({
      'content-type': 'application/vnd.docker.distribution.events.v1+json',
      'user-agent': 'entrepot/1.2.3',
      'x-token': 'abc',
    });
    expect(events).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
        timestamp: '2026-01-01T00:00:00.000Z',
        action: 'push',
        target: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          size: 8,
          digest,
          length: 8,
          repository: 'team/app',
          url: 'http://mirror:5000/v2/team/app/x',
          tag: 'v1',
        },
        request: { id: 'r1', addr: '10.0.0.7:4711', host: 'mirror:5000', method: 'PUT', useragent: 'docker/27' },
        actor: { name: 'bob' },
        source: { addr: 'mirror:5000', instanceID: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown },
      },
    ]);
  });

  test('a tag that was deleted has no digest, an anonymous client no name', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(receiver.url)]);
    const nothing = { digest: undefined, mediaType: undefined, size: undefined };
    notifications.notify(event({ ...nothing, action: 'delete', tag: tagNamed('v1') }));
    await receiver.until(({ length }) => length === 1);
    expect(receiver.requests[0]?.events).toMatchObject([{ action: 'delete', actor: {} }]);
    expect(receiver.requests[0]?.events[0]?.target).toEqual({ repository: 'team/app', tag: 'v1' });
  });

  test('each endpoint gets the actions that it wants', async () => {
    const [one, other] = [await receive(), await receive()];
    const notifications = await open([
      endpoint(one.url, { events: ['push'] }),
      endpoint(other.url, { events: ['pull', 'delete'] }),
    ]);
    for (const action of ['pull', 'push', 'delete'] as const) notifyTags(notifications, [action], { action });
    await Promise.all([one.until(() => one.tags.length === 1), other.until(() => other.tags.length === 2)]);
    expect(one.tags).toEqual(['push']);
    expect(other.tags).toEqual(['pull', 'delete']);
  });

  test('credentials in the URL are sent as Basic', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(receiver.url.replace('//', '//bob:p%40ss@'))]);
    notifications.notify(event());
    await receiver.until(({ length }) => length === 1);
    const expected = `Basic ${Buffer.from('bob:p@ss').toString('base64')}`;
    expect(receiver.requests[0]?.headers.authorization).toBe(expected);
  });

  test('what happens during a request goes together with the next ones, in order, each within the bounds', async () => {
    let held: ServerResponse | undefined;
    const receiver = await receive([(response) => (held = response)]);
    const notifications = await open([endpoint(receiver.url)], { limits: { maxRequestBytes: 20_000 } });
    const tags = numbered('t', 250);
    notifyTags(notifications, tags.slice(0, 1));
    await receiver.until(({ length }) => length === 1);
    notifyTags(notifications, tags.slice(1));
    held?.writeHead(200).end();
    await receiver.until(() => receiver.tags.length === tags.length);
    expect(receiver.tags).toEqual(tags);
    const sizes = receiver.requests.map(({ events }) => events.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(defaultLimits.maxEventsPerRequest);
    expect(Math.max(...sizes)).toBeGreaterThan(10);
    const bytes = receiver.requests.map(({ headers }) => Number(headers['content-length']));
    expect(Math.max(...bytes)).toBeLessThanOrEqual(20_000 + '{"events":[]}'.length);
  });

  test('an event goes through all files of its queue once and in order', async () => {
    const receiver = await receive();
    const limits = { segmentBytes: 2_000 };
    const notifications = await open([endpoint(receiver.url)], { limits });
    const tags = numbered('t', 100);
    notifyTags(notifications, tags);
    await receiver.until(() => receiver.tags.length >= tags.length);
    expect(receiver.tags).toEqual(tags);
    await notifications.close();
    expect((await segments()).length).toBeLessThanOrEqual(1);
    // The answer to the last request may not have been seen yet, so the last file may be sent again.
    const again = await open([endpoint(receiver.url)], { limits });
    notifyTags(again, ['last']);
    await receiver.until(() => receiver.tags.at(-1) === 'last');
    expect(receiver.tags.length).toBeLessThan(tags.length + 10);
  });
});

describe('receivers that fail', () => {
  const elsewhere = 'http://127.0.0.1:9/elsewhere';
  const failures: readonly (readonly [string, Answering])[] = [
    ['answers 500', fails],
    ['answers 404', (response) => response.writeHead(404).end()],
    ['redirects', (response) => response.writeHead(307, { location: elsewhere }).end()],
    ['closes the connection without an answer', (response) => response.socket?.destroy()],
    [
      'closes the connection in the middle of the headers',
      (response) => response.socket?.end('HTTP/1.1 200 OK\r\nA: '),
    ],
    ['says something that is not HTTP', (response) => response.socket?.end('hello\r\n\r\n')],
    ['never answers', () => undefined],
    ['fails with a body without end', (response) => void response.writeHead(500).write(Buffer.alloc(1024 * 1024))],
  ];

  test.each(failures)('a receiver that %s gets the same event again', async (_, failing) => {
    const receiver = await receive([failing, failing]);
    const clock = new QuickClock();
    const limits = { answerTimeoutMs: 700, maxAnswerMs: 100 };
    const notifications = await open([endpoint(receiver.url)], { clock, limits });
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 3);
    notifyTags(notifications, ['v2']);
    await receiver.until(() => receiver.tags.at(-1) === 'v2');
    expect(receiver.tags).toEqual(['v1', 'v1', 'v1', 'v2']);
    expect(new Set(receiver.requests.slice(0, 3).map(({ events }) => events[0]?.id)).size).toBe(1);
    expect(clock.slept).toEqual([1_000, 2_000]);
    expect(logged('cannot be delivered')).toBe(1);
    expect(logged('delivered again')).toBe(1);
  });

  test('a receiver that is not there yet gets everything once it is', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const { notifications } = await openStuck(endpoint(url));
    notifyTags(notifications, ['second', 'third']);
    expect(log).toContain('ECONNREFUSED');
    const receiver = await receive([], port);
    notifications.replace([endpoint(url, { headers: { 'x-changed': 'yes' } })]);
    await receiver.until(() => receiver.tags.length === 3);
    expect(receiver.tags).toEqual(['first', 'second', 'third']);
  });

  const oddSuccesses: readonly (readonly [string, Answering])[] = [
    ['a huge body', (response) => response.writeHead(200).end(Buffer.alloc(8 * 1024 * 1024))],
    ['a body without end', (response) => void response.writeHead(200).write('x')],
    [
      'a body that breaks off',
      (response) => {
        response.writeHead(200, { 'content-length': 100 }).write('x', () => response.socket?.destroy());
      },
    ],
  ];

  test.each(oddSuccesses)('200 with %s is delivery, once', async (_, succeeding) => {
    const receiver = await receive([succeeding]);
    const notifications = await open([endpoint(receiver.url)], { limits: { maxAnswerMs: 100 } });
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 1);
    notifyTags(notifications, ['v2']);
    await receiver.until(() => receiver.tags.at(-1) === 'v2');
    expect(receiver.tags).toEqual(['v1', 'v2']);
  });

  test('attempts become rarer up to a bound, and frequent again after a success', async () => {
    const receiver = await receive([...Array<Answering>(12).fill(fails), accepted, fails]);
    const clock = new QuickClock();
    const notifications = await open([endpoint(receiver.url)], { clock });
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 13);
    notifyTags(notifications, ['v2']);
    await receiver.until(({ length }) => length === 15);
    expect(clock.slept.slice(0, 4)).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(clock.slept.slice(9, 12)).toEqual([300_000, 300_000, 300_000]);
    expect(clock.slept.slice(12)).toEqual([1_000]);
  });

  test('one that hangs delays neither notify nor the others', async () => {
    const [hanging, healthy] = [await receive([() => undefined]), await receive()];
    const notifications = await open([endpoint(hanging.url), endpoint(healthy.url)]);
    notifyTags(notifications, ['v0']);
    await hanging.until(({ length }) => length === 1);
    const tags = numbered('t', 2_000);
    const startedAt = performance.now();
    notifyTags(notifications, tags);
    const eachMs = (performance.now() - startedAt) / tags.length;
    expect(eachMs).toBeLessThan(2);
    await healthy.until(() => healthy.tags.at(-1) === tags.at(-1));
    expect(hanging.requests).toHaveLength(1);
  });

  test('closing does not wait for one that hangs; the event is kept', async () => {
    const receiver = await receive([() => undefined]);
    const notifications = await opening([endpoint(receiver.url)]);
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 1);
    const startedAt = performance.now();
    await notifications.close();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    notifications.notify(event());
    await open([endpoint(receiver.url)]);
    await receiver.until(({ length }) => length === 2);
    expect(receiver.tags).toEqual(['v1', 'v1']);
  });

  test('no log tells a secret', async () => {
    const receiver = await receive([fails]);
    const url = `${receiver.url.replace('//', '//bob:secret1@')}/secret2?token=secret3`;
    const first = endpoint(url, { headers: { Authorization2: 'secret4', 'X-Token': 'secret5' } });
    const notifications = await open([first]);
    notifications.notify(event());
    await receiver.until(({ length }) => length === 2);
    await rm(join(dataPath, 'notifications'), { recursive: true });
    notifications.replace([]);
    notifications.replace([endpoint('http://secret6:secret7@[::1]:1/')]);
    await notifications.close();
    expect(log).toContain(receiver.url);
    expect(log).not.toMatch(/secret\d/);
  });
});

describe('the queue', () => {
  test('what was notified outlives a process that is killed', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url));
    notifyTags(notifications, numbered('t', 300));
    // The first one is not closed: as after `kill -9`.
    await open([endpoint(receiver.url)]);
    await receiver.until(() => receiver.tags.length >= 302);
    expect(receiver.tags).toEqual(['first', 'first', ...numbered('t', 300)]);
  });

  test('what was delivered is not sent again after a restart', async () => {
    const receiver = await receive([accepted, fails]);
    const clock = new StoppedClock();
    const asleep = clock.untilAsleep();
    const notifications = await open([endpoint(receiver.url)], { clock });
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 1);
    notifyTags(notifications, ['v2']);
    await asleep;
    await open([endpoint(receiver.url)]);
    await receiver.until(({ length }) => length === 3);
    expect(receiver.tags).toEqual(['v1', 'v2', 'v2']);
  });

  test('the user name and the password may change, the queue stays', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url.replace('//', '//bob:old@')));
    notifications.replace([endpoint(receiver.url.replace('//', '//bob:new@'))]);
    await receiver.until(({ length }) => length === 2);
    expect(receiver.tags).toEqual(['first', 'first']);
  });

  test.each([
    ['torn', '{"id":"x","timestamp":"2026-01-01T00:00:00.000Z","acti'],
    ['of zeros', '\0'.repeat(500)],
    ['of another kind', '{"id":1}\n[]\n'],
  ])('a last line that is %s costs only itself', async (_, line) => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url));
    notifyTags(notifications, ['second']);
    await notifications.close();
    await appendFile((await segments()).at(-1)!, line);
    const again = await open([endpoint(receiver.url)]);
    notifyTags(again, ['third']);
    await receiver.until(() => receiver.tags.at(-1) === 'third');
    expect(receiver.tags).toEqual(['first', 'first', 'second', 'third']);
    expect(logged('damaged lines')).toBe(1);
  });

  test('a damaged line within costs only itself', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url));
    notifyTags(notifications, ['second', 'third']);
    await notifications.close();
    const [path] = await segments();
    await writeFile(path!, (await readFile(path!, 'utf8')).replace('"tag":"second"', '"tag":"sec\0nd'));
    await open([endpoint(receiver.url)]);
    await receiver.until(() => receiver.tags.at(-1) === 'third');
    expect(receiver.tags).toEqual(['first', 'first', 'third']);
  });

  test.each(['', 'garbage', '9'.repeat(40)])(
    'a damaged position (%j) makes events come twice, not never',
    async (text) => {
      const receiver = await receive([accepted, fails]);
      const clock = new StoppedClock();
      const asleep = clock.untilAsleep();
      const notifications = await open([endpoint(receiver.url)], { clock });
      notifyTags(notifications, ['v1']);
      await receiver.until(({ length }) => length === 1);
      notifyTags(notifications, ['v2']);
      await asleep;
      await notifications.close();
      await writeFile((await queueFiles()).find((path) => path.endsWith('position'))!, text);
      await open([endpoint(receiver.url)]);
      await receiver.until(({ length }) => length === 3);
      expect(receiver.tags).toEqual(['v1', 'v2', 'v1', 'v2']);
    },
  );

  const small = { segmentBytes: 4_000, maxQueueBytes: 20_000 };

  test('a full queue loses pulls first', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url), small);
    notifyTags(notifications, ['old']);
    notifyTags(notifications, numbered('pull', 100), { action: 'pull' });
    const pushes = numbered('push', 20);
    notifyTags(notifications, pushes);
    notifyTags(notifications, numbered('late', 100), { action: 'pull' });
    expect(await queueBytes()).toBeLessThan(small.maxQueueBytes + 2_000);
    expect(logged('the queue is full')).toBe(1);
    await open([endpoint(receiver.url)], { limits: small });
    await receiver.until(() => receiver.tags.includes('push19'));
    const tags = receiver.tags.slice(1);
    expect(tags.filter((tag) => !/^(pull|late)/.test(tag ?? ''))).toEqual(['first', 'old', ...pushes]);
  });

  test('a queue full of pushes loses the oldest', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url), small);
    const pushes = numbered('push', 200);
    notifyTags(notifications, pushes);
    expect(await queueBytes()).toBeLessThan(small.maxQueueBytes + 2_000);
    expect(logged('the queue is full')).toBe(1);
    notifications.replace([endpoint(receiver.url, { headers: { 'x-changed': 'yes' } })]);
    await receiver.until(() => receiver.tags.at(-1) === pushes.at(-1));
    const kept = receiver.tags.slice(1);
    expect(kept.length).toBeGreaterThan(20);
    expect(kept).toEqual(pushes.slice(-kept.length));
  });

  test('pushes that come while the front is being sent make its pulls go, and nothing comes twice', async () => {
    let held: ServerResponse | undefined;
    const receiver = await receive([(response) => (held = response)]);
    const notifications = await open([endpoint(receiver.url)], { limits: { ...small, maxEventsPerRequest: 3 } });
    notifyTags(notifications, ['a', 'b']);
    notifyTags(notifications, numbered('pull', 60), { action: 'pull' });
    await receiver.until(({ length }) => length === 1);
    const pushes = numbered('push', 25);
    notifyTags(notifications, pushes);
    held?.writeHead(200).end();
    await receiver.until(() => receiver.tags.at(-1) === pushes.at(-1));
    expect(receiver.tags.filter((tag) => !/^pull/.test(tag ?? ''))).toEqual(['a', 'b', ...pushes]);
    expect(receiver.tags.length).toBeLessThan(2 + 60 + pushes.length);
    expect(new Set(receiver.tags).size).toBe(receiver.tags.length);
    expect(Math.max(...receiver.requests.map(({ events }) => events.length))).toBe(3);
  });

  test('after pulls went from a front that is half delivered, a restart sends the other half, once', async () => {
    const receiver = await receive([accepted, accepted, fails]);
    const clock = new StoppedClock();
    const asleep = clock.untilAsleep();
    const limits = { ...small, maxEventsPerRequest: 1 };
    const notifications = await open([endpoint(receiver.url)], { clock, limits });
    for (const index of [0, 1, 2]) {
      notifyTags(notifications, [`push${index}`]);
      notifyTags(notifications, [`pull${index}`], { action: 'pull' });
    }
    await asleep;
    const pushes: string[] = [];
    while (logged('the queue is full') === 0) {
      pushes.push(`later${pushes.length}`);
      notifyTags(notifications, pushes.slice(-1));
    }
    await open([endpoint(receiver.url)], { limits });
    await receiver.until(() => receiver.tags.at(-1) === pushes.at(-1));
    expect(receiver.tags.slice(0, 3)).toEqual(['push0', 'pull0', 'push1']);
    expect(receiver.tags.slice(3)).toEqual(['push1', 'push2', ...pushes]);
    expect(logged('damaged')).toBe(0);
  });

  test('a queue full of pushes takes no pull, and loses nothing by one', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url), small);
    const pushes = numbered('push', 200);
    notifyTags(notifications, pushes);
    const before = await queueBytes();
    notifyTags(notifications, numbered('pull', 200), { action: 'pull' });
    const roomForPulls = Math.max(0, small.maxQueueBytes - before);
    expect(await queueBytes()).toBeLessThanOrEqual(before + roomForPulls);
    await open([endpoint(receiver.url)], { limits: small });
    await receiver.until(() => receiver.tags.includes(pushes.at(-1)));
    const kept = receiver.tags.slice(1).filter((tag) => tag?.startsWith('push'));
    expect(kept.length).toBeGreaterThan((small.maxQueueBytes - small.segmentBytes) / 600);
    expect(kept).toEqual(pushes.slice(-kept.length));
  });

  test('what is too old is dropped with a warning, what is not is sent', async () => {
    const receiver = await receive([fails]);
    const { notifications, clock } = await openStuck(endpoint(receiver.url), { segmentBytes: 4_000 });
    notifyTags(notifications, numbered('old', 30));
    clock.time += defaultLimits.maxAgeMs + 1;
    notifyTags(notifications, ['young']);
    notifications.replace([endpoint(receiver.url, { headers: { 'x-changed': 'yes' } })]);
    await receiver.until(({ length }) => length === 2);
    expect(receiver.tags).toEqual(['first', 'young']);
    expect(logged('for too long are dropped')).toBe(1);
  });

  test('files that cannot be written cost their events and a warning; notify does not throw', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(receiver.url)]);
    const [queue] = await readdir(join(dataPath, 'notifications'));
    await rm(join(dataPath, 'notifications', queue!), { recursive: true });
    notifyTags(notifications, ['v1', 'v2', 'v3']);
    expect(logged('could not be written to their queue')).toBe(1);
  });

  test('texts that clients choose are cut', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(receiver.url)]);
    const { request } = event();
    notifications.notify(event({ request: { ...request, userAgent: 'x\n"'.repeat(10_000) } }));
    await receiver.until(({ length }) => length === 1);
    expect(receiver.requests[0]?.events[0]).toMatchObject({
      request: { useragent: 'x\n"'.repeat(10_000).slice(0, defaultLimits.maxTextLength) },
    });
  });
});

describe('a reload', () => {
  test('takes in a new endpoint and drops one that is gone', async () => {
    const [one, other] = [await receive(), await receive()];
    const notifications = await open([endpoint(one.url)]);
    notifyTags(notifications, ['v1']);
    await one.until(({ length }) => length === 1);
    notifications.replace([endpoint(other.url)]);
    notifyTags(notifications, ['v2']);
    await other.until(({ length }) => length === 1);
    await notifications.close();
    expect([one.tags, other.tags]).toEqual([['v1'], ['v2']]);
    expect(logged('no longer configured')).toBe(1);
  });

  test('keeps what waits for an endpoint that is gone, until it comes back', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url));
    notifications.replace([]);
    notifyTags(notifications, ['unheard']);
    notifications.replace([endpoint(receiver.url)]);
    await receiver.until(({ length }) => length === 2);
    expect(receiver.tags).toEqual(['first', 'first']);
  });

  test('takes over other events and headers', async () => {
    const receiver = await receive();
    const notifications = await open([endpoint(receiver.url, { events: ['push'] })]);
    notifications.replace([endpoint(receiver.url, { events: ['delete'], headers: { 'x-token': 'new' } })]);
    notifyTags(notifications, ['pushed']);
    notifyTags(notifications, ['deleted'], { action: 'delete' });
    await receiver.until(({ length }) => length === 1);
    expect(receiver.tags).toEqual(['deleted']);
    expect(receiver.requests[0]?.headers).toMatchObject({ 'x-token': 'new' });
  });

  test('with nothing changed interrupts nothing', async () => {
    let held: ServerResponse | undefined;
    const receiver = await receive([(response) => (held = response)]);
    const notifications = await open([endpoint(receiver.url)]);
    notifyTags(notifications, ['v1']);
    await receiver.until(({ length }) => length === 1);
    notifications.replace([endpoint(receiver.url)]);
    held?.writeHead(200).end();
    notifyTags(notifications, ['v2']);
    await receiver.until(({ length }) => length === 2);
    expect(receiver.tags).toEqual(['v1', 'v2']);
  });

  test('what waits for an endpoint that stays away is removed at a start when it is too old', async () => {
    const receiver = await receive([fails]);
    const { notifications } = await openStuck(endpoint(receiver.url));
    await notifications.close();
    for (const path of await queueFiles()) await utimes(path, new Date(startOfTime), new Date(startOfTime));
    const clock = new QuickClock();
    await open([], { clock });
    expect(await queueFiles()).not.toEqual([]);
    expect(logged('wait for an endpoint that is not configured')).toBe(1);
    clock.time += defaultLimits.maxAgeMs + 1;
    await open([], { clock });
    expect(await readdir(join(dataPath, 'notifications'))).toEqual([]);
  });
});
