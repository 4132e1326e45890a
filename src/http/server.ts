import {
  createServer,
  type Server as HttpServer,
  type RequestListener,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type Koa from 'koa';
import type { Logger } from '../ops/logger.ts';
import type { State } from './context.ts';
import { type Refusal, refusalText } from './refusal.ts';
import { createTlsServer, secureContext, type TlsMaterial } from './tls-server.ts';

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
  /**
   * For new connections; those that are open stay as they are. Whether there is TLS, and whether client certificates are asked
   * for, was settled by the material that listening began with.
   */
  useTls(material: TlsMaterial): void;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** Plain HTTP without. */
  readonly tls?: TlsMaterial | undefined;
  readonly log: Logger;
}

type Server = HttpServer | HttpsServer;

/** Rejects with the error of `listen`, such as EADDRINUSE. */
export async function listen(app: Koa<State>, { host, port, tls, log }: ListenOptions): Promise<Listening> {
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
  const onRequest: RequestListener = (req, res) => {
    // Koa's own parser gives up on some targets, and has no path for others.
    if (!isPath(req.url)) return refuse(res, notAPath);
    // Koa answers whatever its middleware throws; there is nothing left to reject.
    void handle(req, res);
  };
  const { server, handshakes } =
    tls === undefined ? plainServer(options, onRequest) : createTlsServer(options, { material: tls, log }, onRequest);
  server.on('checkExpectation', (_req, res: ServerResponse) => refuse(res, noExpectation));
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
  return {
    url: urlOf(server, host),
    stop: (graceMs) => stop(server, [unused, handshakes], graceMs),
    useTls: (material) => {
      if (isTls(server)) server.setSecureContext(secureContext(material));
    },
  };
}

function plainServer(options: ServerOptions, onRequest: RequestListener) {
  return { server: createServer(options, onRequest), handshakes: new Set<Socket>() };
}

function isTls(server: Server): server is HttpsServer {
  return 'setSecureContext' in server;
}

/** A target in origin form, RFC 9112 3.2.1: all that clients of a registry send. */
function isPath(target: string | undefined): boolean {
  return target?.startsWith('/') === true && !target.startsWith('//');
}

function refuse({ socket }: ServerResponse, refusal: Refusal): void {
  socket?.end(refusalText(refusal));
}

function urlOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http${isTls(server) ? 's' : ''}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const notHttp: Refusal = { status: 400, code: 'UNSUPPORTED', message: 'this is not a valid HTTP request' };

const notAPath: Refusal = { status: 400, code: 'NAME_INVALID', message: 'the request target is no path' };
const noExpectation: Refusal = { status: 417, code: 'UNSUPPORTED', message: 'Expect knows only 100-continue' };

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
  const refusal = refusals[error.code ?? ''] ?? (error.code?.startsWith('HPE_') === true ? notHttp : undefined);
  // Whatever else went wrong is the connection's: it was reset, or TLS failed, and nothing can be said through it.
  if (refusal === undefined || !socket.writable) socket.destroy();
  else socket.end(refusalText(refusal));
}

/**
 * Connections on which nothing has been asked yet. Node counts them as active, so that `closeIdleConnections` would leave a
 * client that only opened one, as pooling clients do, to hold up the stop for the whole grace.
 */
function trackUnused(server: Server): ReadonlySet<Socket> {
  const unused = new Set<Socket>();
  server.on(isTls(server) ? 'secureConnection' : 'connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', ({ socket }) => unused.delete(socket));
  return unused;
}

async function stop(server: Server, unused: readonly ReadonlySet<Socket>[], graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  const closeIdle = () => {
    server.closeIdleConnections();
    for (const sockets of unused) for (const socket of sockets) socket.destroy();
  };
  const look = setInterval(closeIdle, bounds.drainLookMs);
  const force = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(look);
  clearTimeout(force);
}
