import { once } from 'node:events';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

/** One connection over TLS that speaks HTTP/1.1 as a test wants it to. */
export class SecureClient implements Disposable {
  readonly socket: TLSSocket;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
  }

  /** Resolves when the connection is secured, rejects when that fails. */
  static async connect(url: string, options: ConnectionOptions): Promise<SecureClient> {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), ...options });
    await once(socket, 'secureConnect');
    return new SecureClient(socket);
  }

  /** Of the server. */
  get serial(): string | undefined {
    return this.socket.getPeerX509Certificate()?.serialNumber;
  }

  /** The whole answer; rejects when the connection ends without one. */
  async get(path: string): Promise<string> {
    let text = '';
    const answered = new Promise<void>((resolve, reject) => {
      this.socket.on('data', (piece: Buffer) => {
        text += piece.toString();
        const [head = '', body] = text.split('\r\n\r\n');
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
        if (body !== undefined && Buffer.byteLength(body) >= length) resolve();
      });
      this.socket.once('error', reject);
      this.socket.once('close', () => reject(new Error('the connection ended without an answer')));
    });
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: mirror.lan\r\n\r\n`);
    try {
      await answered;
      return text;
    } finally {
      this.socket.removeAllListeners('data');
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
