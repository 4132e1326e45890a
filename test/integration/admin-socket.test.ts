import { once } from 'node:events';
import { lstatSync, statSync } from 'node:fs';
import { chmod, lstat, readdir, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect, Server } from 'node:net';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Refused } from '../../src/admin/operations.ts';
import { socketPathOf } from '../../src/admin/socket-path.ts';
import { AdminSite, image, soundStatus } from '../support/operations.ts';

afterEach(() => {
  vi.useRealTimers();
});

interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly body?: string;
}

/** The response, as soon as its headers are there. */
async function open(site: AdminSite, { method = 'GET', path, body }: Asked): Promise<IncomingMessage> {
  const asked = request({ socketPath: site.socketPath, method, path, agent: false });
  asked.on('error', () => undefined);
  asked.end(body);
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  return response;
}

async function ask(site: AdminSite, asked: Asked) {
  const response = await open(site, asked);
  return { status: response.statusCode, type: response.headers['content-type'], body: await text(response) };
}

function linesIn(body: string): readonly unknown[] {
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

function post(path: string, body: unknown): Asked {
  return { method: 'POST', path: `/api/v1/${path}`, body: JSON.stringify(body) };
}

/** Resolves when the signal has aborted. */
async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

describe('the socket', () => {
  test('is its owner’s alone from the first moment, whatever the umask', async () => {
    await using site = await AdminSite.prepare();
    await chmod(site.root, 0o755);
    const open: string[] = [];
    const look = (path: string) => {
      const socket = lstatSync(path, { throwIfNoEntry: false });
      const isClosed =
        socket === undefined || (socket.mode & 0o077) === 0 || (statSync(dirname(path)).mode & 0o077) === 0;
      if (!isClosed) open.push(path);
    };
    const born: string[] = [];
    const listen = Reflect.get(Server.prototype, 'listen') as (...args: unknown[]) => Server;
    const spy = vi.spyOn(Server.prototype, 'listen').mockImplementation(function (this: Server, ...args: unknown[]) {
      // The file is there when `listen` returns.
      const server = Reflect.apply(listen, this, args);
      born.push(String(args[0]));
      look(String(args[0]));
      return server;
    });
    const umask = process.umask(0);
    const ended = new AbortController();
    const watching = (async () => {
      while (!ended.signal.aborted) {
        look(site.socketPath);
        await turn();
      }
    })();
    try {
      await site.serve();
    } finally {
      ended.abort();
      await watching;
      process.umask(umask);
      spy.mockRestore();
    }
    expect(born).toHaveLength(1);
    expect(open).toEqual([]);
    expect((await lstat(site.socketPath)).mode & 0o777).toBe(0o600);
    expect((await readdir(site.root)).sort()).toEqual(['entrepot.sock', 'mirror.config.json']);
  });

  test('takes the place of one that a killed daemon left', async () => {
    await using site = await AdminSite.prepare();
    await site.leaveSocketOfKilled();
    await site.serve();
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 200 });
  });

  test('takes the place of what a start left that was killed in the middle', async () => {
    await using site = await AdminSite.prepare();
    await writeFile(join(site.root, '.admin'), '');
    await writeFile(site.socketPath, '');
    await site.serve();
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 200 });
  });

  test('a path that does not fit is refused in one sentence, counted in bytes', () => {
    expect(socketPathOf(`/${'d'.repeat(92)}`)).toEqual({ ok: true, value: `/${'d'.repeat(92)}/entrepot.sock` });
    for (const dataPath of [`/${'d'.repeat(93)}`, `/${'é'.repeat(47)}`]) {
      const path = socketPathOf(dataPath);
      const sentence = `the path of the socket, ${dataPath}/entrepot.sock, has`;
      expect(path).toMatchObject({ ok: false, failure: { reason: expect.stringContaining(sentence) as string } });
    }
  });

  test('the longest path that fits is listened on', async () => {
    await using site = await AdminSite.prepare(93);
    expect(Buffer.byteLength(site.socketPath)).toBe(107);
    await site.serve();
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 200 });
  });
});

describe('what is answered', () => {
  test('the status, and the pins before and after a change', async () => {
    await using site = await AdminSite.start();
    const status = await ask(site, { path: '/api/v1/status' });
    expect(JSON.parse(status.body)).toEqual(soundStatus);

    const configured = { pattern: 'library/*', from: 'configuration' };
    const command = { pattern: 'ghcr.io/**:v1', from: 'command' };
    expect(JSON.parse((await ask(site, { path: '/api/v1/pins' })).body)).toEqual([configured]);
    expect(JSON.parse((await ask(site, post('pins', { pattern: command.pattern }))).body)).toEqual([
      configured,
      command,
    ]);
    const path = `/api/v1/pins?pattern=${encodeURIComponent(command.pattern)}`;
    expect(JSON.parse((await ask(site, { method: 'DELETE', path })).body)).toEqual([configured]);
    expect(site.log).toContain('"pattern":"ghcr.io/**:v1"');
  });

  test('progress, not more often than is useful, then the result', async () => {
    await using site = await AdminSite.start();
    let startedAt = 0;
    site.operations.verify = async (options, { onProgress }) => {
      expect(options).toEqual({ repair: true });
      startedAt = performance.now();
      for (let done = 0; performance.now() - startedAt < 450; done++) {
        onProgress({ done, total: 0, unit: 'blobs' });
        await turn();
      }
      onProgress({ done: 7, total: 7, unit: 'bytes' });
      return { blobs: 1, bytes: 7, damaged: [] };
    };
    const answer = await ask(site, post('verify', { repair: true }));
    const lines = linesIn(answer.body);
    expect(answer).toMatchObject({ status: 200, type: 'application/x-ndjson' });
    expect(lines.at(-1)).toEqual({ result: { blobs: 1, bytes: 7, damaged: [] } });
    expect(lines.at(-2)).toEqual({ progress: { done: 7, total: 7, unit: 'bytes' } });
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.length).toBeLessThanOrEqual((performance.now() - startedAt) / 100 + 2);
  });

  test('a job that says nothing gives a sign of life', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    await using site = await AdminSite.start();
    const end = new AbortController();
    site.operations.collectGarbage = async () => {
      await aborted(end.signal);
      return { dryRun: false, removed: [], bytes: 0 };
    };
    const response = await open(site, post('gc', { dryRun: false }));
    const first = once(response, 'data') as Promise<[Buffer]>;
    await vi.advanceTimersByTimeAsync(4_900);
    await vi.advanceTimersByTimeAsync(100);
    expect((await first)[0].toString()).toBe('\n');
    end.abort();
    expect(linesIn(await text(response))).toHaveLength(1);
  });

  test('what cannot be done is refused in one sentence', async () => {
    await using site = await AdminSite.start();
    expect(await ask(site, { method: 'DELETE', path: '/api/v1/pins?pattern=x' })).toMatchObject({
      status: 400,
      body: '{"error":"x is not pinned"}',
    });
    site.operations.collectGarbage = () => Promise.reject(new Refused('it is being compared with the store'));
    const answer = await ask(site, post('gc', { dryRun: true }));
    expect(linesIn(answer.body)).toEqual([{ refused: 'it is being compared with the store' }]);
  });

  test('a bug is told in the log, and to the caller only that there was one', async () => {
    await using site = await AdminSite.start();
    const bug = () => Promise.reject(new TypeError('x is not a function'));
    site.operations.status = bug;
    site.operations.verify = bug;
    const sentence = 'an unexpected error, told in the log of the daemon';
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 500, body: `{"error":"${sentence}"}` });
    expect(linesIn((await ask(site, post('verify', { repair: false }))).body)).toEqual([{ failed: sentence }]);
    expect(site.log.match(/x is not a function/g)?.length).toBeGreaterThanOrEqual(2);
  });

  test('a list that breaks is cut, so that nobody takes it for whole', async () => {
    await using site = await AdminSite.start();
    site.operations.images = async function* () {
      for (let count = 0; count < 1_000; count++) yield await Promise.resolve(image());
      throw new Error('the ledger is damaged');
    };
    await expect(ask(site, { path: '/api/v1/images' })).rejects.toMatchObject({ code: 'ECONNRESET' });
    site.operations.images = async function* () {
      yield await Promise.reject(new Error('the ledger is damaged'));
    };
    expect(await ask(site, { path: '/api/v1/images' })).toMatchObject({ status: 500 });
  });
});

describe('hostile requests', () => {
  test.each([
    ['no JSON', '{"dryRun":', 400],
    ['nothing', '', 400],
    ['no object', '[true]', 400],
    ['a missing key', '{}', 400],
    ['another type', '{"dryRun":"yes"}', 400],
    ['an unknown key', '{"dryRun":true,"force":true}', 400],
    ['a prototype', '{"__proto__":{"dryRun":true}}', 400],
    ['an endless key', `{"${'k'.repeat(60_000)}":1}`, 400],
    ['deep nesting', '['.repeat(30_000) + ']'.repeat(30_000), 400],
    ['more than 64 KiB', `{"dryRun":true,"x":"${'x'.repeat(64 * 1024)}"}`, 413],
  ])('a body with %s is refused in one sentence', async (_, body, status) => {
    await using site = await AdminSite.start();
    let hasRun = false;
    site.operations.collectGarbage = ({ dryRun }) => {
      hasRun = true;
      return Promise.resolve({ dryRun, removed: [], bytes: 0 });
    };
    const answer = await ask(site, { method: 'POST', path: '/api/v1/gc', body });
    expect(answer).toMatchObject({ status, type: 'application/json; charset=utf-8' });
    const { error } = JSON.parse(answer.body) as { readonly error: string };
    expect(error.length).toBeLessThan(400);
    expect(error).not.toMatch(/\.[jt]s\b|\n/);
    expect(hasRun).toBe(false);
  });

  test.each([
    ['GET', '/', 404],
    ['GET', '/api/v1', 404],
    ['PUT', '/api/v1/pins', 404],
    ['GET', '/api/v1/gc', 404],
    ['GET', '/v2/', 404],
    ['GET', '/api/v1/%ff', 404],
    ['DELETE', '/api/v1/pins', 400],
    ['DELETE', '/api/v1/pins?pattern=a&pattern=b', 400],
  ])('%s %s is answered %d', async (method, path, status) => {
    await using site = await AdminSite.start();
    const answer = await ask(site, { method, path });
    expect(answer).toMatchObject({ status });
    expect(Object.keys(JSON.parse(answer.body) as object)).toEqual(['error']);
  });

  test('what is no HTTP ends its own connection only', async () => {
    await using site = await AdminSite.start();
    const socket = connect(site.socketPath);
    socket.write('\0\0\0 hello\r\n\r\n');
    await text(socket).catch(() => undefined);
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 200 });
  });
});

describe('long lists', () => {
  const total = 100_000;

  test('are sent as they are read, and come whole', async () => {
    await using site = await AdminSite.start();
    let produced = 0;
    site.operations.images = async function* () {
      for (; produced < total; produced++) yield await Promise.resolve(image({ tag: `v${produced}` }));
    };
    const response = await open(site, { path: '/api/v1/images' });
    // As long as the caller takes nothing, no more is read than fits into the buffers in between.
    for (let turns = 0; turns < 5_000; turns++) await turn();
    expect(produced).toBeLessThan(total / 10);

    const lines = linesIn(await text(response));
    expect(lines).toHaveLength(total);
    expect(lines.at(-1)).toEqual(image({ tag: `v${total - 1}` }));
  });

  test('end when the caller leaves', async () => {
    await using site = await AdminSite.start();
    let produced = 0;
    const ended = new AbortController();
    site.operations.images = async function* () {
      try {
        for (; produced < total; produced++) yield await Promise.resolve(image());
      } finally {
        ended.abort();
      }
    };
    const response = await open(site, { path: '/api/v1/images' });
    response.destroy();
    await aborted(ended.signal);
    expect(produced).toBeLessThan(total);
    expect(site.log).not.toContain('unexpectedly');
  });
});

describe('jobs that nobody waits for', () => {
  test.each(['gc', 'verify'] as const)('a caller of %s that leaves aborts it', async (command) => {
    await using site = await AdminSite.start();
    const isAborted = new Promise<void>((resolve, reject) => {
      const work = async (_: unknown, { signal }: { readonly signal: AbortSignal }): Promise<never> => {
        await aborted(signal);
        resolve();
        throw signal.reason;
      };
      site.operations.collectGarbage = work;
      site.operations.verify = work;
      open(site, post(command, command === 'gc' ? { dryRun: false } : { repair: false }))
        .then((response) => response.destroy())
        .catch(reject);
    });
    await isAborted;
    expect(await ask(site, { path: '/api/v1/status' })).toMatchObject({ status: 200 });
    expect(site.log).not.toContain('unexpectedly');
  });

  test('the end of the daemon aborts them and says so', async () => {
    await using site = await AdminSite.start();
    site.operations.verify = async (_, { signal }) => {
      await aborted(signal);
      throw signal.reason;
    };
    const response = await open(site, post('verify', { repair: false }));
    const [body] = await Promise.all([text(response), site.close()]);
    expect(linesIn(body)).toEqual([{ failed: 'the daemon is stopping' }]);
    expect(await readdir(site.root)).toEqual(['mirror.config.json']);
  });

  test('one that does not heed its signal, and a connection without a request, do not hold up the end', async () => {
    await using site = await AdminSite.start();
    site.operations.verify = () => new Promise(() => undefined);
    const response = await open(site, post('verify', { repair: false }));
    const silent = connect(site.socketPath);
    silent.on('error', () => undefined);
    await once(silent, 'connect');
    const startedAt = performance.now();
    await Promise.all([site.close(), site.close()]);
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    await expect(text(response)).rejects.toThrow();
    silent.destroy();
  });
});
