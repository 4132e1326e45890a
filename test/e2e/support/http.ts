import { createHash } from 'node:crypto';
import { get, type IncomingMessage } from 'node:http';
import type { Login } from './clients/client.ts';
import { until } from './scratch.ts';

const answerMs = 20_000;
const downloadMs = 60_000;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly tookMs: number;
  /** The first entry of an OCI error body. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

export interface Asking {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** One request, as `curl` would send it. */
export async function ask(url: string, method = 'GET', { headers = {}, body }: Asking = {}): Promise<Answer> {
  const began = performance.now();
  const response = await fetch(url, {
    method,
    headers: { accept: '*/*', ...headers },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(answerMs),
  });
  const text = await response.text();
  const tookMs = performance.now() - began;
  return { status: response.status, headers: response.headers, text, tookMs, error: firstError(text) };
}

/** The header of HTTP Basic. */
export function basic({ username, password }: Login): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}

function firstError(text: string): Answer['error'] {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code: string; message: string }[] };
    return errors?.[0];
  } catch {
    return undefined;
  }
}

/** A download whose progress can be watched. */
export class Download {
  received = 0;
  /** The digest of the whole body; rejects when it was cut off. */
  readonly digest: Promise<string>;
  readonly #leave = new AbortController();

  constructor(url: string) {
    this.digest = this.#run(url);
    // Whoever starts a download that is meant to fail looks at it later.
    this.digest.catch(() => undefined);
  }

  async hasReceived(bytes: number): Promise<void> {
    await until(`${bytes} bytes of the download`, answerMs, () => this.received >= bytes);
  }

  /** The client goes away. */
  abort(): void {
    this.#leave.abort();
  }

  async #run(url: string): Promise<string> {
    const signal = AbortSignal.any([this.#leave.signal, AbortSignal.timeout(downloadMs)]);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // A connection of its own that ends with the download, unlike those of fetch.
      get(url, { agent: false, signal }, resolve).once('error', reject);
    });
    if (response.statusCode !== 200) throw new Error(`${url}: status ${String(response.statusCode)}`);
    const hash = createHash('sha256');
    for await (const chunk of response as AsyncIterable<Buffer>) {
      hash.update(chunk);
      this.received += chunk.length;
    }
    return `sha256:${hash.digest('hex')}`;
  }
}
