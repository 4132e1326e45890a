import type { ServerResponse } from 'node:http';
import { PIECE_BYTES } from './content.ts';
import { BEFORE_HEADERS, type Reply } from './reply.ts';
import type { Exchange } from './requests.ts';

const SLOW_PAUSE_MS = 50;

/** Puts the reply on the wire, and its outcome into the record. */
export async function deliver(reply: Reply, response: ServerResponse, exchange: Exchange): Promise<void> {
  try {
    const outcome = await new Transfer(reply, response, exchange).run();
    if (outcome === 'cut') response.destroy();
    exchange.ended(outcome);
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
    exchange.ended('abandoned');
  }
}

class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

class Transfer {
  readonly #reply: Reply;
  readonly #response: ServerResponse;
  readonly #exchange: Exchange;
  #sent = 0;

  constructor(reply: Reply, response: ServerResponse, exchange: Exchange) {
    this.#reply = reply;
    this.#response = response;
    this.#exchange = exchange;
  }

  async run(): Promise<'complete' | 'cut'> {
    const stops = this.#reply.stops.toSorted((a, b) => a.atByte - b.atByte);
    for (const { then } of stops.filter(({ atByte }) => atByte === BEFORE_HEADERS)) {
      if (!(await this.#passes(then))) return 'cut';
    }
    this.#sendHead();
    if (this.#exchange.method === 'HEAD') return await this.#finish();

    const { size } = this.#reply.body;
    for (const { atByte, then } of stops.filter(({ atByte }) => atByte > BEFORE_HEADERS && atByte <= size)) {
      await this.#sendUpTo(atByte);
      if (!(await this.#passes(then))) return 'cut';
    }
    await this.#sendUpTo(size);
    return await this.#finish();
  }

  #sendHead(): void {
    const { status, headers, contentLength, body } = this.#reply;
    const length = contentLength === 'size' ? body.size : contentLength;
    this.#response.writeHead(status, length === 'nothing' ? headers : { ...headers, 'content-length': String(length) });
    this.#response.flushHeaders();
    this.#exchange.answered(status);
  }

  async #sendUpTo(end: number): Promise<void> {
    const { body, bytesPerSecond } = this.#reply;
    const slow = Number.isFinite(bytesPerSecond);
    const piece = slow ? Math.ceil((bytesPerSecond * SLOW_PAUSE_MS) / 1000) : PIECE_BYTES;
    while (this.#sent < end) {
      if (slow) await this.#whileConnected((done) => setTimeout(done, SLOW_PAUSE_MS));
      await this.#write(body.read(this.#sent, Math.min(this.#sent + piece, end)));
    }
  }

  /**
   * Waiting for each piece to be flushed is the backpressure, and it makes two promises true: a cut after n bytes
   * delivers n bytes, and the record counts no byte that is still in this process.
   */
  async #write(bytes: Buffer): Promise<void> {
    await this.#whileConnected((done) => this.#response.write(bytes, done));
    this.#sent += bytes.length;
    this.#exchange.sent(bytes.length);
  }

  async #passes(then: Reply['stops'][number]['then']): Promise<boolean> {
    if (then === 'cut') return false;
    await this.#whileConnected((done) => {
      if (then !== 'hang') void then.pass().then(() => done());
    });
    return true;
  }

  /** With a wrong length the connection is of no further use: who was promised more would wait for ever. */
  async #finish(): Promise<'complete' | 'cut'> {
    if (typeof this.#reply.contentLength === 'number' && this.#exchange.method !== 'HEAD') return 'cut';
    await this.#whileConnected((done) => this.#response.end(done));
    return 'complete';
  }

  /** Every wait goes through here: Node 20 never calls back for a write during which the client went away. */
  #whileConnected(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    const response = this.#response;
    return new Promise((resolve, reject) => {
      const lost = (cause?: Error) => reject(new ConnectionLost('the connection closed', { cause }));
      if (response.destroyed) {
        lost();
        return;
      }
      response.once('close', lost);
      start((error) => {
        response.off('close', lost);
        if (error) lost(error);
        else resolve();
      });
    });
  }
}
