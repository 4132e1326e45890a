import { Readable } from 'node:stream';
import { type Dispatcher, errors, Pool } from 'undici';
import { Answer } from './answer.ts';
import { NoAnswer } from './no-answer.ts';
import type { Target } from './target.ts';

/** Nothing a registry does in these checks takes longer. */
const answerMs = 15_000;
const connections = 16;
/** A failed check shows so many of its exchanges, the last ones. */
const shownExchanges = 6;

export interface Request {
  readonly headers?: Readonly<Record<string, string>>;
  /** An iterable goes out with chunked transfer encoding, without a Content-Length. */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
}

/** Sends what it is given: paths are not tidied up, redirects are not followed, errors are not retried. */
export class Client implements AsyncDisposable {
  readonly #target: Target;
  readonly #pool: Pool;
  readonly #exchanges: string[] = [];

  constructor(target: Target) {
    this.#target = target;
    this.#pool = new Pool(target.url, { connections, headersTimeout: answerMs, bodyTimeout: answerMs });
  }

  /** `path` is path and query. Rejects with {@link NoAnswer} when the registry cuts the connection or says nothing in time. */
  async ask(method: Dispatcher.HttpMethod, path: string, { headers = {}, body }: Request = {}): Promise<Answer> {
    const { authorization } = this.#target;
    const asked = `${method} ${path} ${JSON.stringify(headers)}${sizeOf(body)}`;
    try {
      const response = await this.#pool.request({
        method,
        path,
        headers: { ...(authorization === undefined ? {} : { authorization }), ...headers },
        body: body === undefined ? null : bodyOf(body),
      });
      const answer = new Answer({
        method,
        url: this.#target.url + path,
        status: response.statusCode,
        headers: response.headers,
        body: Buffer.from(await response.body.arrayBuffer()),
      });
      this.#remember(`${asked}\n${answer.summary}`);
      return answer;
    } catch (error) {
      this.#remember(`${asked}\n  -> ${String(error)}`);
      throw isSilence(error) ? new NoAnswer(asked, error) : error;
    }
  }

  /** The last requests and their answers, for a failed check. */
  get transcript(): string {
    return this.#exchanges.join('\n');
  }

  forget(): void {
    this.#exchanges.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  #remember(exchange: string): void {
    this.#exchanges.push(exchange);
    if (this.#exchanges.length > shownExchanges) this.#exchanges.shift();
  }
}

function isSilence(error: unknown): boolean {
  return (
    error instanceof errors.SocketError ||
    error instanceof errors.HTTPParserError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  );
}

function bodyOf(body: NonNullable<Request['body']>): string | Uint8Array | Readable {
  return typeof body === 'string' || body instanceof Uint8Array ? body : Readable.from(body);
}

function sizeOf(body: Request['body']): string {
  if (body === undefined) return '';
  return typeof body === 'string' || body instanceof Uint8Array ? ` + ${Buffer.byteLength(body)} bytes` : ' + a stream';
}
