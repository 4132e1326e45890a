import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type Koa from 'koa';
import type { ErrorCode } from '../oci/error-code.ts';
import type { State } from './context.ts';
import { errorBody } from './fail.ts';

const bounds = {
  /** To a request's headers being complete. */
  headersTimeoutMs: 15_000,
  headersLookMs: 5_000,
  /** Between two requests on one connection. */
  keepAliveMs: 60_000,
  /** Silence on a connection before the kernel asks whether the other end is there. */
  tcpKeepAliveMs: 60_000,
  maxHeaderBytes: 16 * 1024,
  maxConnections: 20_000,
  /** Between two looks for connections that have become idle while the server stops. */
  drainLookMs: 100,
} as const;

export interface Listening {
  /** With the port really used. */
  readonly url: string;
  /** Takes no new connections, lets running requests end; cuts what is left after the grace. */
  stop(graceMs: number): Promise<void>;
}

/** Rejects with the error of `listen`, such as EADDRINUSE. */
export async function listen(
  app: Koa<State>,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Listening> {
  const handle = app.callback();
  const options = {
    maxHeaderSize: bounds.maxHeaderBytes,
    keepAliveTimeout: bounds.keepAliveMs,
    connectionsCheckingInterval: bounds.headersLookMs,
    // Nothing here depends on it, and Node's own refusal has no body.
    requireHostHeader: false,
    // A client that lost its power says no goodbye, and may be waiting for a slow flight: TCP finds out.
    keepAlive: true,
    keepAliveInitialDelay: bounds.tcpKeepAliveMs,
  };
  const server = createServer(options, (req, res) => {
    // Koa answers whatever its middleware throws; there is nothing left to reject.
    void handle(req, res);
  });
  // A slow long transfer is no attack: only headers have to come in time. Bodies have idle time-outs of their own.
  server.requestTimeout = 0;
  server.headersTimeout = bounds.headersTimeoutMs;
  server.maxConnections = bounds.maxConnections;
  server.on('clientError', answerClientError);
  const unused = trackUnused(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return { url: urlOf(server, host), stop: (graceMs) => stop(server, unused, graceMs) };
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
}

const notHttp: Refusal = { status: 400, code: 'UNSUPPORTED', message: 'this is not a valid HTTP request' };

/** By the code of Node's error. */
const refusals: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'SIZE_INVALID',
    message: `the request line and headers exceed ${bounds.maxHeaderBytes} bytes`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'UNSUPPORTED', message: 'the headers took too long' },
};

/** What Node's parser refuses never reaches Koa. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { status, code, message } = refusals[error.code ?? ''] ?? notHttp;
  const body = JSON.stringify(errorBody(code, message));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/**
 * Connections on which nothing has been asked yet. Node counts them as active, so that `closeIdleConnections` would leave a
 * client that only opened one, as pooling clients do, to hold up the stop for the whole grace.
 */
function trackUnused(server: Server): ReadonlySet<Socket> {
  const unused = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', ({ socket }) => unused.delete(socket));
  return unused;
}

async function stop(server: Server, unused: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  const closeIdle = () => {
    server.closeIdleConnections();
    for (const socket of unused) socket.destroy();
  };
  const look = setInterval(closeIdle, bounds.drainLookMs);
  const force = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(look);
  clearTimeout(force);
}
