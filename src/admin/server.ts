import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import type { Logger } from '../ops/logger.ts';
import { createAdminApp } from './app.ts';
import type { Operations } from './operations.ts';
import type { SocketPath } from './socket-path.ts';

const bounds = {
  headersTimeoutMs: 15_000,
  /** To a request being complete, with its body. Answers may take as long as the work does. */
  requestTimeoutMs: 30_000,
  timeoutLookMs: 5_000,
  maxHeaderBytes: 16 * 1024,
  maxConnections: 64,
  /** What jobs get to say that they were stopped. */
  closeGraceMs: 2_000,
} as const;

export interface AdminServerOptions {
  readonly operations: Operations;
  readonly socketPath: SocketPath;
  readonly log: Logger;
}

export interface AdminServer {
  /** Stops jobs, ends every connection within two seconds, and removes the socket. */
  close(): Promise<void>;
}

/**
 * Answers operators. The caller holds the lock of the data directory: a socket that is there already is one that a killed
 * daemon left, and is replaced. Rejects with the error of the file system or of `listen`.
 */
export async function serveAdmin({ operations, socketPath, log }: AdminServerOptions): Promise<AdminServer> {
  const stopping = new AbortController();
  const handle = createAdminApp({ operations, log, stopping: stopping.signal }).callback();
  const options = {
    maxHeaderSize: bounds.maxHeaderBytes,
    headersTimeout: bounds.headersTimeoutMs,
    requestTimeout: bounds.requestTimeoutMs,
    connectionsCheckingInterval: bounds.timeoutLookMs,
    requireHostHeader: false,
  };
  const server = createServer(options, (req, res) => {
    // Koa answers whatever its middleware throws; there is nothing left to reject.
    void handle(req, res);
  });
  server.maxConnections = bounds.maxConnections;
  await listenPrivately(server, socketPath);
  let closed: Promise<void> | undefined;
  return { close: () => (closed ??= close(server, stopping, socketPath)) };
}

/**
 * Who may open the socket may do everything. So it comes into being in a directory that nobody else can enter, and moves to
 * its place only once it is the owner's alone; a mode set afterwards would be too late for those who were quick.
 */
async function listenPrivately(server: Server, socketPath: SocketPath): Promise<void> {
  const birthplace = join(dirname(socketPath), '.admin');
  // No longer than the path it moves to, so that it fits as well.
  const born = join(birthplace, 's');
  await rm(birthplace, { recursive: true, force: true });
  await mkdir(birthplace, { mode: 0o700 });
  try {
    await listen(server, born);
    await chmod(born, 0o600);
    await rename(born, socketPath);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(birthplace, { recursive: true, force: true });
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function close(server: Server, stopping: AbortController, socketPath: SocketPath): Promise<void> {
  stopping.abort();
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  const force = setTimeout(() => server.closeAllConnections(), bounds.closeGraceMs);
  await rm(socketPath, { force: true });
  await closed;
  clearTimeout(force);
}
