import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect } from 'vitest';
import type { UpstreamFailure } from '../../src/mirror/failure.ts';
import type { Ask, Clock, UpstreamBlob } from '../../src/mirror/ports.ts';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { parseReference, type Reference } from '../../src/oci/reference.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/repository-name.ts';
import type { Result } from '../../src/oci/result.ts';
import { createLogger } from '../../src/ops/logger.ts';
import type { ExchangeEvent } from '../../src/upstream/observe.ts';
import {
  type ClosableUpstream,
  createUpstream,
  type UpstreamOptions,
  type UpstreamSettings,
} from '../../src/upstream/upstream.ts';

/** Time that passes only by hand, or by being slept through. */
class TestClock implements Clock {
  #now = Date.parse('2026-01-01T00:00:00Z');
  readonly slept: number[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number): Promise<void> {
    this.slept.push(milliseconds);
    this.#now += milliseconds;
    return Promise.resolve();
  }

  pass(seconds: number): void {
    this.#now += seconds * 1000;
  }
}

export interface TestUpstream extends ClosableUpstream, AsyncDisposable {
  readonly clock: TestClock;
  readonly events: ExchangeEvent[];
  /** Everything that was logged, as JSON lines. */
  logged(): string;
}

export function upstreamOf(
  endpoints: string | readonly string[],
  settings: Partial<UpstreamSettings> = {},
  options: Partial<UpstreamOptions> = {},
): TestUpstream {
  const clock = new TestClock();
  const events: ExchangeEvent[] = [];
  let lines = '';
  const sink = { write: (line: string) => (lines += line) } as unknown as NodeJS.WritableStream;
  const upstream = createUpstream(
    { registry: 'registry.test', endpoints: [endpoints].flat(), ...settings },
    {
      clock,
      log: createLogger({ level: 'debug', format: 'json' }, sink),
      version: '1.2.3',
      random: () => 0.5,
      onExchange: (event) => events.push(event),
      ...options,
    },
  );
  return { ...upstream, clock, events, logged: () => lines, [Symbol.asyncDispose]: () => upstream.close() };
}

/** A registry of a few lines, for what the fake one does not do. */
export class SmallServer implements AsyncDisposable {
  readonly requests: IncomingMessage[] = [];
  readonly #server: Server;

  private constructor(handler: RequestListener, server = createServer()) {
    this.#server = server;
    server.on('request', (request: IncomingMessage, response) => {
      this.requests.push(request);
      handler(request, response);
    });
  }

  static async start(handler: RequestListener, server?: Server): Promise<SmallServer> {
    const small = new SmallServer(handler, server);
    small.#server.listen(0, '127.0.0.1');
    await once(small.#server, 'listening');
    return small;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get paths(): readonly (string | undefined)[] {
    return this.requests.map(({ url }) => url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

export const ask: Ask = { deadlineMs: 5_000 };

export function name(text = 'library/alpine'): RepositoryName {
  return valueOf(parseRepositoryName(text));
}

export function reference(text = 'latest'): Reference {
  return valueOf(parseReference(text));
}

export function digest(text: string = `sha256:${'0'.repeat(64)}`): Digest {
  return valueOf(parseDigest(text));
}

export function valueOf<T, E>(result: Result<T, E>): T {
  if (!result.ok) throw new Error(`failed: ${JSON.stringify(result.failure)}`);
  return result.value;
}

export function failureOf<T>(result: Result<T, UpstreamFailure>): UpstreamFailure {
  if (result.ok) throw new Error('succeeded');
  return result.failure;
}

export async function bytesOf({ body }: UpstreamBlob): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** The typed form of vitest's matcher. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}

/** What a test has opened; closed after it, the last one first. */
export const opened: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

export function connect(...parameters: Parameters<typeof upstreamOf>) {
  const upstream = upstreamOf(...parameters);
  opened.push(upstream);
  return upstream;
}

export async function serve(...parameters: Parameters<typeof SmallServer.start>) {
  const server = await SmallServer.start(...parameters);
  opened.push(server);
  return server;
}

/** A small server and an upstream client of it. */
export async function startSmall(...parameters: Parameters<typeof SmallServer.start>) {
  const server = await SmallServer.start(...parameters);
  const upstream = upstreamOf(server.url);
  opened.push(server, upstream);
  return { server, upstream };
}
