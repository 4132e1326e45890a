import { connect, type Socket } from 'node:net';

/** Header names in lower case; of several of one name the last one counts. */
interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** `closed`: the server ended the connection without a whole answer. `silent`: nothing whole came in time. */
export type RawOutcome = RawAnswer | 'closed' | 'silent';

export interface RawExchange {
  readonly bytes: Buffer;
  /** An answer to HEAD has no body, whatever its headers say. */
  readonly isHead: boolean;
  /** After the bytes the client says that no more will come, by FIN. */
  readonly thenEnd: boolean;
}

const maxAnswerBytes = 16 * 1024 * 1024;

/** One keep-alive connection over which anything may be sent, HTTP or not. It dials again when it has to. */
export class RawConnection implements Disposable {
  readonly #host: string;
  readonly #port: number;
  readonly #answerMs: number;
  #socket: Socket | undefined;

  constructor(url: string, answerMs: number) {
    const { hostname, port } = new URL(url);
    this.#host = hostname;
    this.#port = Number(port);
    this.#answerMs = answerMs;
  }

  /** Rejects only when the server cannot be connected to. */
  async exchange({ bytes, isHead, thenEnd }: RawExchange): Promise<RawOutcome> {
    const socket = await this.#connected();
    const outcome = await new Promise<RawOutcome>((resolve) => {
      const received: Buffer[] = [];
      let size = 0;
      const done = (result: RawOutcome): void => {
        clearTimeout(timer);
        socket.removeListener('data', onData).removeListener('close', onClose);
        resolve(result);
      };
      const onData = (piece: Buffer): void => {
        received.push(piece);
        size += piece.length;
        const answer = parseAnswer(Buffer.concat(received), isHead, false);
        if (answer !== undefined) done(answer);
        else if (size > maxAnswerBytes) done('closed');
      };
      const onClose = (): void => {
        done(parseAnswer(Buffer.concat(received), isHead, true) ?? 'closed');
      };
      const timer = setTimeout(() => {
        done('silent');
      }, this.#answerMs);
      socket.on('data', onData).once('close', onClose);
      if (thenEnd) socket.end(bytes);
      else socket.write(bytes);
    });
    const isReusable = typeof outcome === 'object' && !thenEnd && outcome.headers.get('connection') !== 'close';
    if (!isReusable) this.hangUp();
    return outcome;
  }

  hangUp(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  [Symbol.dispose](): void {
    this.hangUp();
  }

  #connected(): Promise<Socket> {
    const old = this.#socket;
    if (old?.writable === true && old.readable) return Promise.resolve(old);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
      this.#socket = socket;
      // A reset is an end like another; `close` follows.
      socket.once('error', reject).on('error', () => undefined);
      socket.once('connect', () => {
        resolve(socket);
      });
    });
  }
}

/** RFC 9112 section 6.3. Undefined when it is not all there. */
function parseAnswer(bytes: Buffer, isHead: boolean, isEnd: boolean): RawAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? 0);
  const rest = bytes.subarray(headEnd + 4);
  if (status >= 100 && status < 200) return parseAnswer(rest, isHead, isEnd);
  const headers = new Map(lines.map(splitHeader));
  const body = bodyOf(rest, headers, isEnd, isHead || status === 204 || status === 304);
  return body === undefined ? undefined : { status, headers, body };
}

function splitHeader(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function bodyOf(
  rest: Buffer,
  headers: ReadonlyMap<string, string>,
  isEnd: boolean,
  hasNone: boolean,
): Buffer | undefined {
  if (hasNone) return Buffer.alloc(0);
  if (headers.get('transfer-encoding') === 'chunked') return unchunked(rest);
  const length = headers.get('content-length');
  if (length === undefined) return isEnd ? rest : undefined;
  return rest.length < Number(length) ? undefined : rest.subarray(0, Number(length));
}

function unchunked(bytes: Buffer): Buffer | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const start = lineEnd + 2;
    if (Number.isNaN(size) || bytes.length < start + size + 2) return undefined;
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}
