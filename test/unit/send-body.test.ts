import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ClientLeft, sendBody } from '../../src/http/send-body.ts';
import type { BlobBody } from '../../src/mirror/blob-body.ts';

const mebibyte = 1024 * 1024;

interface Behaviour {
  /** The most that one read gives. */
  readonly pieceBytes?: number;
  /** From this position on a read rejects, as that of a flight that breaks. */
  readonly breaksAt?: number;
  /** From this position on a read never ends, as that of a flight whose upstream is silent. */
  readonly silentFrom?: number;
}

/** Bytes in memory, which count the reads. */
class MemoryBody implements BlobBody {
  readonly size: number;
  reads = 0;
  readonly #bytes: Buffer;
  readonly #behaviour: Behaviour;

  constructor(bytes: Buffer, behaviour: Behaviour = {}) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.#behaviour = behaviour;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    this.reads++;
    const { pieceBytes = Infinity, breaksAt = Infinity, silentFrom = Infinity } = this.#behaviour;
    if (position >= breaksAt) throw new Error('the upstream broke off');
    if (position >= silentFrom) return new Promise(() => undefined);
    const end = Math.min(position + Math.min(target.length, pieceBytes), breaksAt, silentFrom, this.#bytes.length);
    target.set(this.#bytes.subarray(position, end));
    return Math.max(0, end - position);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Bytes without end. */
class EndlessBody extends MemoryBody {
  constructor() {
    super(Buffer.alloc(0));
  }

  override read(target: Uint8Array): Promise<number> {
    this.reads++;
    return Promise.resolve(target.length);
  }
}

interface Wish {
  readonly first?: number;
  readonly end?: number | undefined;
}

/** A server that answers one request with a body, as the blobs' handler does. */
class Site implements AsyncDisposable {
  sent = 0;
  /** What `sendBody` came to. */
  readonly outcome: Promise<unknown>;
  readonly #server;

  constructor(body: BlobBody, { first = 0, end }: Wish = {}) {
    let settle!: (outcome: unknown) => void;
    this.outcome = new Promise((resolve) => {
      settle = resolve;
    });
    this.#server = createServer((_, res: ServerResponse) => {
      if (end !== undefined) res.setHeader('Content-Length', end - first);
      sendBody(res, body, { first, end, onSent: (bytes) => (this.sent += bytes) }).then(
        () => settle('sent'),
        (error: unknown) => {
          res.destroy();
          settle(error);
        },
      );
    });
  }

  async ask(): Promise<IncomingMessage> {
    if (!this.#server.listening) await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    const { port } = this.#server.address() as AddressInfo;
    const request = get({ port, host: '127.0.0.1', agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    // A connection that is cut is looked for where it matters.
    request.on('error', () => undefined);
    return response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await once(this.#server.close(), 'close');
  }
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

/** Waits until nothing moves any more: as many turns of the event loop as any transfer on the loopback would use. */
async function untilStill(figure: () => number): Promise<void> {
  let last = figure();
  for (let still = 0; still < 2_000; still++) {
    await turn();
    if (figure() === last) continue;
    last = figure();
    still = 0;
  }
}

const bytes = randomBytes(3 * mebibyte + 12_345);

describe('the bytes of a span arrive exactly', () => {
  const size = bytes.length;
  test.each<[string, Wish, Behaviour]>([
    ['the whole', { end: size }, {}],
    ['the whole, of unknown length', {}, {}],
    ['the first byte', { end: 1 }, {}],
    ['the last byte', { first: size - 1, end: size }, {}],
    ['one byte on either side of a buffer’s end', { first: 65_535, end: 65_537 }, {}],
    ['exactly one buffer', { end: 65_536 }, {}],
    ['one byte more than a buffer', { end: 65_537 }, {}],
    ['a middle part', { first: 1_000_001, end: 2_500_003 }, {}],
    ['no byte', { first: 5, end: 5 }, {}],
    ['the rest, of unknown length', { first: 3_000_000 }, {}],
    ['the whole, that comes in small pieces', { end: size }, { pieceBytes: 1_447 }],
    ['a middle part, that comes in small pieces', { first: 7, end: 500_000 }, { pieceBytes: 999 }],
    ['what lies beyond the end, which is nothing', { first: size }, {}],
  ])('%s', async (_, wish, behaviour) => {
    await using site = new Site(new MemoryBody(bytes, behaviour), wish);
    const received = await readAll(await site.ask());
    expect(received.equals(bytes.subarray(wish.first ?? 0, wish.end))).toBe(true);
    expect(await site.outcome).toBe('sent');
    expect(site.sent).toBe(received.length);
  });
});

test('many clients at once each get their own bytes', async () => {
  const sites = Array.from({ length: 20 }, (_, index) => {
    const wish = { first: index * 1_000, end: bytes.length - index };
    return { wish, site: new Site(new MemoryBody(bytes), wish) };
  });
  await Promise.all(
    sites.map(async ({ site, wish }) => {
      await using closing = site;
      const received = await readAll(await closing.ask());
      expect(received.equals(bytes.subarray(wish.first, wish.end))).toBe(true);
    }),
  );
});

describe('a slow client', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test('gets every byte, however it dawdles', async () => {
    await using site = new Site(new MemoryBody(bytes), { end: bytes.length });
    const response = await site.ask();
    const pieces: Buffer[] = [];
    for await (const piece of response) {
      pieces.push(piece as Buffer);
      for (let pause = 0; pause < 5; pause++) await turn();
    }
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    expect(await site.outcome).toBe('sent');
  });

  test('has no more read for it than the network takes, and one piece', async () => {
    const body = new EndlessBody();
    await using site = new Site(body);
    const response = await site.ask();
    response.pause();
    await untilStill(() => body.reads);
    const [reads, sent] = [body.reads, site.sent];
    // What the kernel holds for both ends, and no memory of ours.
    expect(sent).toBeLessThan(32 * mebibyte);
    await untilStill(() => body.reads);
    expect([body.reads, site.sent]).toEqual([reads, sent]);
    response.destroy();
    expect(await site.outcome).toBeInstanceOf(ClientLeft);
  });

  test('that takes nothing for two minutes is cut off, and not before', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const body = new EndlessBody();
    await using site = new Site(body);
    let outcome: unknown = 'under way';
    void site.outcome.then((value) => (outcome = value));
    const response = await site.ask();
    response.pause();
    await untilStill(() => body.reads);
    vi.advanceTimersByTime(119_000);
    await untilStill(() => body.reads);
    expect(outcome).toBe('under way');
    vi.advanceTimersByTime(121_000);
    expect(await site.outcome).toBeInstanceOf(ClientLeft);
    expect(vi.getTimerCount()).toBe(0);
    response.destroy();
  });
});

describe('a client that leaves', () => {
  test('in the middle ends the reading, and only that', async () => {
    const body = new EndlessBody();
    await using site = new Site(body);
    const response = await site.ask();
    await once(response, 'data');
    response.destroy();
    expect(await site.outcome).toBeInstanceOf(ClientLeft);
    const reads = body.reads;
    await untilStill(() => body.reads);
    expect(body.reads).toBe(reads);
  });

  test('while bytes are waited for is noticed at once, and not when they come', async () => {
    await using site = new Site(new MemoryBody(bytes, { silentFrom: 100_000 }), { end: bytes.length });
    const response = await site.ask();
    await once(response, 'data');
    response.destroy();
    expect(await site.outcome).toBeInstanceOf(ClientLeft);
    expect(site.sent).toBe(100_000);
  });

  test('before the first byte is given up at once', async () => {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const request = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false });
    request.on('error', () => undefined);
    const [, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    const closed = once(res, 'close');
    request.destroy();
    await closed;
    const body = new MemoryBody(bytes);
    const sent = sendBody(res, body, { first: 0, end: bytes.length, onSent: () => undefined });
    await expect(sent).rejects.toThrow(ClientLeft);
    expect(body.reads).toBeLessThanOrEqual(2);
    server.close();
  });
});

describe('a body that breaks', () => {
  test.each([0, 1, 65_536, 1_000_000])(
    'at byte %i cuts the connection: nobody takes it for whole',
    async (breaksAt) => {
      for (const end of [bytes.length, undefined]) {
        await using site = new Site(new MemoryBody(bytes, { breaksAt }), { end });
        const asked = site.ask().then(readAll);
        await expect(asked).rejects.toThrow(/aborted|hang up|ECONNRESET/);
        expect(await site.outcome).toMatchObject({ message: 'the upstream broke off' });
        expect(site.sent).toBe(breaksAt);
      }
    },
  );

  test('by ending early is broken too', async () => {
    await using site = new Site(new MemoryBody(bytes.subarray(0, 1_000)), { end: 2_000 });
    await expect(site.ask().then(readAll)).rejects.toThrow();
    expect(await site.outcome).toMatchObject({ message: 'the body ended at 1000 instead of 2000' });
  });
});
