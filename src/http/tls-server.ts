import type { RequestListener } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { Logger } from '../ops/logger.ts';
import { isClientRefused } from './client-certificate.ts';
import { refusalText } from './refusal.ts';

/** What the files hold that the configuration names, all PEM; whoever makes one has seen that they fit together. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
}

/** To a connection being secured. */
const defaultHandshakeTimeoutMs = 15_000;

/** Ciphers and curves are Node's, which its releases keep up with. */
const minVersion = 'TLSv1.2';

export interface TlsServerOptions {
  readonly material: TlsMaterial;
  readonly log: Logger;
  readonly handshakeTimeoutMs?: number;
}

/** An HTTPS server, and those of its connections that are not secured yet. */
export interface TlsServer {
  readonly server: Server;
  readonly handshakes: ReadonlySet<Socket>;
}

export function createTlsServer(
  options: ServerOptions,
  { material, log, handshakeTimeoutMs = defaultHandshakeTimeoutMs }: TlsServerOptions,
  onRequest: RequestListener,
): TlsServer {
  const server = createServer(
    {
      ...options,
      ...secureContext(material),
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: material.clientCa !== undefined,
      // Node would refuse those without a certificate as well.
      rejectUnauthorized: false,
    },
    onRequest,
  );
  const handshakes = new Handshakes(server);
  // Before Node's own listener, which begins to read requests.
  server.prependListener('secureConnection', (socket) => {
    if (!isClientRefused(socket)) return;
    const reason = String(socket.authorizationError);
    log.info({ client: socket.remoteAddress, reason }, 'a client certificate was refused');
    socket.destroy();
  });
  // Before Node's own, after which nothing can be told or asked of the connection.
  server.prependListener('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ERR_SSL_HTTP_REQUEST') answerPlainHttp(handshakes.rawOf(socket));
    // Who only looks whether the port is open, as load balancers do, goes without a word.
    const level = error.code === 'ECONNRESET' ? 'debug' : 'info';
    log[level]({ client: socket.remoteAddress, reason: error.code }, 'a TLS handshake failed');
    socket.destroy();
  });
  return { server, handshakes: handshakes.raw };
}

/** What an open server is to use from the next handshake on. Sessions under the old one are not resumed any more. */
export function secureContext({ cert, key, clientCa }: TlsMaterial): SecureContextOptions {
  return { cert, key, minVersion, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** Connections from their being accepted to their being secured; Node shows the one under a `TLSSocket` to nobody. */
class Handshakes {
  readonly #byPeer = new Map<string, Socket>();
  readonly raw = new Set<Socket>();

  constructor(server: Server) {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket);
      this.#byPeer.set(peer, socket);
      this.raw.add(socket);
      socket.once('close', () => this.#forget(peer, socket));
    });
    server.prependListener('secureConnection', (socket) => {
      const peer = peerOf(socket);
      const raw = this.#byPeer.get(peer);
      if (raw !== undefined) this.#forget(peer, raw);
    });
  }

  rawOf(socket: TLSSocket): Socket | undefined {
    return this.#byPeer.get(peerOf(socket));
  }

  #forget(peer: string, socket: Socket): void {
    this.raw.delete(socket);
    if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer);
  }
}

/** Which no other open connection has. */
function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? ''} ${localAddress ?? ''}`;
}

/** In the clear, where a client that speaks no TLS can read it. */
function answerPlainHttp(socket: Socket | undefined): void {
  socket?.write(refusalText({ status: 400, code: 'UNSUPPORTED', message: 'this port speaks TLS: use https://' }));
}
