import {
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream/promises';

const host = '127.0.0.1';
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** One request as it was seen; `sent` is filled in while its body comes, `status`, `bytes` and `done` while the answer goes out. */
export interface SeenRequest {
  readonly at: 'registry' | 'token' | 'mirror';
  readonly method: string;
  readonly path: string;
  readonly search: URLSearchParams;
  readonly range: string | undefined;
  readonly authorized: boolean;
  /** Bytes of the request's own body. */
  sent: number;
  status: number;
  bytes: number;
  done: boolean;
}

export type RequestFilter = (request: SeenRequest) => boolean;

/** True for the requests that fetch the content of this blob, whole or in part. */
export function downloadOf(digest: string): RequestFilter {
  return ({ method, path, status }) =>
    method === 'GET' && path.endsWith(`/blobs/${digest}`) && (status === 200 || status === 206);
}

export function seen(at: SeenRequest['at'], request: IncomingMessage): SeenRequest {
  const url = new URL(request.url ?? '/', `http://${host}`);
  return {
    at,
    method: request.method ?? '',
    path: url.pathname,
    search: url.searchParams,
    range: request.headers.range,
    authorized: request.headers.authorization !== undefined,
    sent: 0,
    status: 0,
    bytes: 0,
    done: false,
  };
}

/** Holds the bodies that match back after some bytes, until it is opened. */
export class Gate implements Disposable {
  readonly matches: RequestFilter;
  readonly afterBytes: number;
  readonly reached: Promise<void>;
  readonly opened: Promise<void>;
  #reach: () => void = () => undefined;
  #open: () => void = () => undefined;

  constructor(matches: RequestFilter, afterBytes: number) {
    this.matches = matches;
    this.afterBytes = afterBytes;
    this.reached = new Promise((resolve) => {
      this.#reach = resolve;
    });
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }

  async pass(seenRequest: SeenRequest): Promise<void> {
    if (seenRequest.bytes < this.afterBytes) return;
    this.#reach();
    await this.opened;
  }

  [Symbol.dispose](): void {
    this.open();
  }
}

/** A reverse proxy that changes nothing, writes down what passes, and can hold a body back in the middle. */
export class CountingProxy implements AsyncDisposable {
  readonly port: number;
  readonly #at: SeenRequest['at'];
  readonly #targetPort: number;
  readonly #requests: SeenRequest[];
  readonly #gates = new Set<Gate>();
  readonly #outbound = new Set<ClientRequest>();
  #server: Server | undefined;

  constructor(options: {
    at: SeenRequest['at'];
    port: number;
    targetPort: number;
    requests?: SeenRequest[];
  }) {
    this.port = options.port;
    this.#at = options.at;
    this.#targetPort = options.targetPort;
    this.#requests = options.requests ?? [];
  }

  get requests(): readonly SeenRequest[] {
    return this.#requests;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#forward(request, response).catch(() => {
        response.destroy();
      });
    });
    await listen(server, this.port);
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await close(server);
    for (const request of this.#outbound) request.destroy();
  }

  /** The bodies of matching answers stop after `afterBytes`, until the gate is opened or disposed of. */
  hold(matches: RequestFilter, afterBytes: number): Gate {
    const gate = new Gate(matches, afterBytes);
    this.#gates.add(gate);
    void gate.opened.then(() => this.#gates.delete(gate));
    return gate;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const gate of this.#gates) gate.open();
    await this.stop();
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const entry = seen(this.#at, request);
    this.#requests.push(entry);
    const outbound = httpRequest({
      host,
      port: this.#targetPort,
      method: request.method,
      path: request.url,
      headers: withoutHopByHop(request.rawHeaders),
      agent: false,
    });
    this.#outbound.add(outbound);
    try {
      const [answer] = await Promise.all([
        answerTo(outbound),
        pipeline(request, (body) => counted(body, entry), outbound),
      ]);
      entry.status = answer.statusCode ?? 0;
      response.writeHead(entry.status, withoutHopByHop(answer.rawHeaders));
      response.flushHeaders();
      await pipeline(answer, (body: AsyncIterable<Buffer>) => this.#counted(body, entry, response), response);
      entry.done = true;
    } finally {
      this.#outbound.delete(outbound);
      outbound.destroy();
    }
  }

  async *#counted(body: AsyncIterable<Buffer>, entry: SeenRequest, response: ServerResponse): AsyncGenerator<Buffer> {
    const left = new Promise<void>((resolve) => {
      response.once('close', resolve);
    });
    for await (const chunk of body) {
      entry.bytes += chunk.length;
      yield chunk;
      for (const gate of this.#gates) {
        if (gate.matches(entry)) await Promise.race([gate.pass(entry), left]);
      }
    }
  }
}

async function* counted(body: AsyncIterable<Buffer>, entry: SeenRequest): AsyncGenerator<Buffer> {
  for await (const chunk of body) {
    entry.sent += chunk.length;
    yield chunk;
  }
}

export async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
}

export async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

function answerTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
}

function withoutHopByHop(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, index) => {
    const name = rawHeaders[index - (index % 2)];
    return name !== undefined && !hopByHop.has(name.toLowerCase());
  });
}
