import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';

const HOST = '127.0.0.1';

/** An HTTP server that can go away and come back at the same address. */
export class Listener {
  readonly #server: Server;
  #port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
  }

  static async open(handler: RequestListener, port = 0): Promise<Listener> {
    // No keep-alive limit: a connection that idles away between two requests would be a fault nobody asked for.
    const listener = new Listener(createServer({ keepAliveTimeout: 0 }, handler), port);
    await listener.open();
    return listener;
  }

  get url(): string {
    return `http://${HOST}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  async open(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.#port, HOST);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

interface SilentServer {
  readonly url: string;
  readonly port: number;
  /** Resolves when so many connections have been accepted. */
  connected(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Accepts connections and never says a word. */
export async function silentServer(): Promise<SilentServer> {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined).resume();
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${HOST}:${port}`,
    port,
    async connected(count) {
      while (sockets.length < count) await once(server, 'connection');
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A port where nobody listens: connecting to it is refused. */
export async function unusedPort(): Promise<number> {
  const listener = await Listener.open(() => undefined);
  await listener.close();
  return listener.port;
}
