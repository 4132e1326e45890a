import { type IncomingMessage, request } from 'node:http';
import type { z } from 'zod';
import type { Collected, ImageListing, Pin, Progress, Status, Verified } from '../admin/operations.ts';
import type { SocketPath } from '../admin/socket-path.ts';
import {
  apiPrefix,
  collectedResult,
  errorAnswer,
  imageLine,
  jobLine,
  pinsAnswer,
  statusAnswer,
  verifiedResult,
} from '../admin/wire.ts';

/** A daemon that sends nothing for so long hangs: jobs give signs of life far more often. */
const idleMs = 30_000;
/** Of one line, in characters; the longest lists what a collection of garbage removed. */
const maxLineLength = 64 * 1024 * 1024;

/** The daemon could not be asked, or did not do it. The message is one clear sentence. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
}

export interface AdminClientOptions {
  readonly socketPath: SocketPath;
  /** The data directory, as operators know it. */
  readonly dataPath: string;
  /** Breaks off whatever is asked, and with it the job in the daemon. */
  readonly signal: AbortSignal;
}

type Method = 'GET' | 'POST' | 'DELETE';
type OnProgress = (progress: Progress) => void;

/** Asks the running daemon. Everything rejects with {@link AdminError}. */
export class AdminClient {
  readonly #options: AdminClientOptions;

  constructor(options: AdminClientOptions) {
    this.#options = options;
  }

  status(): Promise<Status> {
    return this.#value('GET', '/status', statusAnswer);
  }

  /** All stored images, by name, as they come. */
  async *images(): AsyncGenerator<ImageListing> {
    for await (const line of this.#lines('GET', '/images')) yield understood(line, imageLine);
  }

  pins(): Promise<readonly Pin[]> {
    return this.#value('GET', '/pins', pinsAnswer);
  }

  pin(pattern: string): Promise<readonly Pin[]> {
    return this.#value('POST', '/pins', pinsAnswer, { pattern });
  }

  unpin(pattern: string): Promise<readonly Pin[]> {
    return this.#value('DELETE', `/pins?${new URLSearchParams({ pattern }).toString()}`, pinsAnswer);
  }

  collectGarbage(options: { readonly dryRun: boolean }, onProgress: OnProgress): Promise<Collected> {
    return this.#job('/gc', options, { schema: collectedResult, onProgress });
  }

  verify(options: { readonly repair: boolean }, onProgress: OnProgress): Promise<Verified> {
    return this.#job('/verify', options, { schema: verifiedResult, onProgress });
  }

  async #value<T>(method: Method, path: string, schema: z.ZodType<T>, body?: object): Promise<T> {
    const lines: string[] = [];
    for await (const line of this.#lines(method, path, body)) lines.push(line);
    return understood(lines.join('\n'), schema);
  }

  async #job<T>(
    path: string,
    options: object,
    { schema, onProgress }: { readonly schema: z.ZodType<T>; readonly onProgress: OnProgress },
  ): Promise<T> {
    for await (const text of this.#lines('POST', path, options)) {
      const line = understood(text, jobLine);
      if ('progress' in line) onProgress(line.progress);
      else if ('refused' in line) throw new AdminError(line.refused);
      else if ('failed' in line) throw new AdminError(line.failed);
      else return checked(line.result, schema);
    }
    throw this.#brokenOff();
  }

  /** The lines of the answer that are not empty, once the daemon has said yes. */
  async *#lines(method: Method, path: string, body?: object): AsyncGenerator<string> {
    try {
      const response = await this.#ask(method, path, body);
      if (response.statusCode !== 200) throw await refusalIn(response);
      yield* linesOf(response);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #ask(method: Method, path: string, body: object | undefined): Promise<IncomingMessage> {
    const { socketPath, signal } = this.#options;
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath, method, path: `${apiPrefix}${path}`, agent: false, signal });
      const silent = setTimeout(() => asked.destroy(silence()), idleMs);
      asked.once('response', resolve);
      // Also what goes wrong later, which is then told by the response.
      asked.on('error', reject);
      asked.once('response', () => clearTimeout(silent));
      asked.once('close', () => clearTimeout(silent));
      asked.setHeader('Content-Type', 'application/json');
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  #explained(error: unknown): AdminError {
    const { socketPath, dataPath, signal } = this.#options;
    if (error instanceof AdminError) return error;
    if (signal.aborted) return new AdminError('interrupted', { cause: error });
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    switch (code) {
      case 'ENOENT':
      case 'ENOTDIR':
      case 'ECONNREFUSED':
        return new AdminError(`no daemon is running on ${dataPath} (start one with "entrepot serve")`, {
          cause: error,
        });
      case 'EACCES':
      case 'EPERM':
        return new AdminError(
          `this user may not open the daemon's socket ${socketPath}: run the command as the user that the daemon runs as`,
          { cause: error },
        );
      case 'ECONNRESET':
      case 'EPIPE':
        return this.#brokenOff(error);
      default:
        return new AdminError(`the daemon on ${dataPath} cannot be asked: ${messageOf(error)}`, { cause: error });
    }
  }

  #brokenOff(cause?: unknown): AdminError {
    const { dataPath } = this.#options;
    return new AdminError(`the daemon on ${dataPath} ended, or broke off, in the middle of its answer`, { cause });
  }
}

async function refusalIn(response: IncomingMessage): Promise<AdminError> {
  const lines: string[] = [];
  for await (const line of linesOf(response)) lines.push(line);
  if (response.statusCode === 404) return strange();
  return new AdminError(understood(lines.join('\n'), errorAnswer).error);
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest: string[] = [];
  let restLength = 0;
  for await (const chunk of chunksOf(response)) {
    const end = chunk.lastIndexOf('\n');
    if (end >= 0) {
      const lines = `${rest.join('')}${chunk.slice(0, end)}`.split('\n');
      rest = [];
      restLength = 0;
      yield* lines.filter((line) => line !== '');
    }
    rest.push(chunk.slice(end + 1));
    restLength += chunk.length - (end + 1);
    if (restLength > maxLineLength)
      throw new AdminError(`the daemon sent more than ${maxLineLength} characters in one line`);
  }
  if (restLength > 0) yield rest.join('');
}

/** Waits for the daemon only, not for whoever takes the chunks. */
async function* chunksOf(response: IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8');
  const watch = () => setTimeout(() => response.destroy(silence()), idleMs);
  let silent = watch();
  try {
    for await (const chunk of response) {
      clearTimeout(silent);
      yield chunk as string;
      silent = watch();
    }
  } finally {
    clearTimeout(silent);
  }
}

function understood<T>(text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw strange(error);
  }
  return checked(value, schema);
}

function checked<T>(value: unknown, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw strange(parsed.error);
  return parsed.data;
}

function strange(cause?: unknown): AdminError {
  return new AdminError(
    'the running daemon does not speak the language of this program: restart it, so that both are of the same version',
    { cause },
  );
}

function silence(): AdminError {
  return new AdminError(`the daemon has sent nothing for ${idleMs / 1000} seconds`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
