import { Agent, type Dispatcher } from 'undici';
import { fail, ok, type Result } from '../oci/result.ts';
import { basicCredentials, type Endpoint, withoutCredentials } from './endpoint.ts';
import type { Limits } from './limits.ts';
import { envelopeOf, envelopeType } from './record.ts';

/** Nothing secret is in it, nor anything that the receiver has said. */
interface NotDelivered {
  readonly reason: string;
}

interface ReceiverOptions {
  readonly limits: Limits;
  readonly version: string;
}

/** The HTTP side of an endpoint: one request at a time, over a connection that is kept. */
export class Receiver {
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #limits: Limits;
  readonly #agent: Agent;

  constructor(endpoint: Endpoint, { limits, version }: ReceiverOptions) {
    this.#url = withoutCredentials(endpoint.url);
    const authorization = basicCredentials(endpoint);
    this.#headers = {
      'user-agent': `entrepot/${version}`,
      ...(authorization !== undefined && { authorization }),
      ...endpoint.headers,
      'content-type': envelopeType,
    };
    this.#limits = limits;
    this.#agent = new Agent({
      connections: 1,
      pipelining: 1,
      keepAliveTimeout: limits.keepAliveMs,
      // The request's own deadline ends the wait.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: limits.connectTimeoutMs, autoSelectFamily: true },
    });
  }

  /** Any 2xx is delivery, whatever becomes of the answer's body. Redirects are not followed: only what is configured is asked. */
  async deliver(records: readonly string[], closing: AbortSignal): Promise<Result<void, NotDelivered>> {
    const { answerTimeoutMs } = this.#limits;
    const deadline = new AbortController();
    const end = () => deadline.abort();
    const timer = setTimeout(end, answerTimeoutMs);
    closing.addEventListener('abort', end);
    try {
      const { statusCode, body } = await this.#post(envelopeOf(records), deadline.signal);
      clearTimeout(timer);
      await this.#discard(body);
      if (statusCode >= 200 && statusCode < 300) return ok(undefined);
      return fail({ reason: `it answered ${statusCode}` });
    } catch (error) {
      if (deadline.signal.aborted) return fail({ reason: `it did not answer within ${answerTimeoutMs} ms` });
      return fail({ reason: `it cannot be asked: ${codeOf(error)}` });
    } finally {
      clearTimeout(timer);
      closing.removeEventListener('abort', end);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #post(body: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { origin, pathname, search } = this.#url;
    return this.#agent.request({
      origin,
      path: pathname + search,
      method: 'POST',
      headers: this.#headers,
      body,
      signal,
    });
  }

  async #discard(body: Dispatcher.ResponseData['body']): Promise<void> {
    const { maxAnswerBytes, maxAnswerMs } = this.#limits;
    body.on('error', () => undefined);
    try {
      await body.dump({ limit: maxAnswerBytes, signal: AbortSignal.timeout(maxAnswerMs) });
    } catch {
      // It took too long or broke off, and the connection is closed.
    }
  }
}

function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'UNKNOWN';
}
