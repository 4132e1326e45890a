import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { ParameterizedContext } from 'koa';
import type { Job, Progress } from './operations.ts';
import { refusalOf } from './refusal.ts';
import { type JobLine, linesType, signOfLifeMs } from './wire.ts';

/** A caller that takes nothing for so long is taken for gone. It may be a person before a pager. */
const stalledCallerMs = 600_000;
/** Lines are short, and a write for each would be most of the work. In characters. */
const chunkLength = 16 * 1024;
/** Between two lines about the progress of a job. */
const progressMs = 100;

/** Answers with one line for each value; takes the next values only when the caller has taken those before. */
export async function sendLines(
  ctx: ParameterizedContext,
  values: AsyncIterable<unknown>,
  stopping: AbortSignal,
): Promise<void> {
  const { res } = ctx;
  const signal = AbortSignal.any([leaving(res), stopping]);
  for await (const chunk of inChunks(values)) {
    signal.throwIfAborted();
    begin(ctx);
    if (!res.write(chunk)) await drained(res, signal);
  }
  begin(ctx);
  res.end();
}

async function* inChunks(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  let text = '';
  for await (const value of values) {
    text += lineOf(value);
    if (text.length < chunkLength) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

async function drained(res: ServerResponse, signal: AbortSignal): Promise<void> {
  const stalled = setTimeout(() => res.destroy(), stalledCallerMs);
  try {
    await once(res, 'drain', { signal });
  } finally {
    clearTimeout(stalled);
  }
}

export interface JobEnds {
  /** Aborts when the daemon is to end. */
  readonly stopping: AbortSignal;
  /** Told of what went wrong unexpectedly. */
  readonly onBug: (error: unknown) => void;
}

/** Answers with how far the work is, and in the last line with what it came to. The work's signal aborts when the caller leaves. */
export async function sendJob<T>(
  ctx: ParameterizedContext,
  work: (job: Job) => Promise<T>,
  { stopping, onBug }: JobEnds,
): Promise<void> {
  const { res } = ctx;
  const left = leaving(res);
  begin(ctx);
  res.flushHeaders();
  const progress = new ProgressLines(res);
  let last: JobLine;
  try {
    const signal = AbortSignal.any([left, stopping]);
    last = { result: await work({ onProgress: (made) => progress.report(made), signal }) };
  } catch (error) {
    last = endOf(error, stopping);
    if ('failed' in last && !left.aborted && !stopping.aborted) onBug(error);
  } finally {
    progress.stop();
  }
  if (!left.aborted) res.end(lineOf(last));
}

function endOf(error: unknown, stopping: AbortSignal): JobLine {
  const refusal = refusalOf(error);
  if (refusal !== undefined) return { refused: refusal };
  if (stopping.aborted) return { failed: 'the daemon is stopping' };
  return { failed: 'an unexpected error, told in the log of the daemon' };
}

/** Lines about progress, as often as is useful however often it is reported, and signs of life in between. */
class ProgressLines {
  readonly #res: ServerResponse;
  readonly #timer: NodeJS.Timeout;
  #latest: Progress | undefined;
  #saidAt = performance.now();

  constructor(res: ServerResponse) {
    this.#res = res;
    this.#timer = setInterval(() => this.#say(), progressMs);
  }

  report(progress: Progress): void {
    this.#latest = progress;
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#say();
  }

  #say(): void {
    // A caller that takes nothing misses some of it.
    if (this.#res.destroyed || this.#res.writableNeedDrain) return;
    const isSilent = performance.now() - this.#saidAt >= signOfLifeMs;
    if (this.#latest === undefined && !isSilent) return;
    this.#res.write(this.#latest === undefined ? '\n' : lineOf({ progress: this.#latest } satisfies JobLine));
    this.#latest = undefined;
    this.#saidAt = performance.now();
  }
}

function lineOf(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** From here on the answer is written past Koa. */
function begin(ctx: ParameterizedContext): void {
  if (ctx.res.headersSent) return;
  ctx.respond = false;
  ctx.status = 200;
  ctx.type = linesType;
}

/** Aborts when the connection has closed, be it after the answer. */
function leaving(res: ServerResponse): AbortSignal {
  const left = new AbortController();
  const leave = () => left.abort();
  if (res.destroyed) leave();
  else res.once('close', leave);
  return left.signal;
}
