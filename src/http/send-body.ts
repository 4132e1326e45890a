import type { ServerResponse } from 'node:http';
import type { BlobBody } from '../mirror/blob-body.ts';
import { BufferPool, type Step } from './buffer-pool.ts';

/** A client that takes nothing for so long is gone, or as good as gone. */
const stalledClientMs = 120_000;
/** A write that is taken within this time earns the next one a larger buffer. */
const quickWriteMs = 10;

const pool = new BufferPool();

/** The client has closed its end, or takes nothing any more. */
export class ClientLeft extends Error {
  override readonly name = 'ClientLeft';
}

interface Span {
  readonly first: number;
  /** The position after the last byte; undefined to send up to the end, wherever that is. */
  readonly end: number | undefined;
  /** Told of every piece that was handed to the socket, in bytes. */
  readonly onSent: (bytes: number) => void;
}

/**
 * Writes the span of the body as the response's body and ends it. One piece is read while the one before is on its way; pieces
 * start small and grow while the client takes them at once, so that slow clients stay cheap. Rejects, with the response
 * not ended, when the body breaks or the client leaves: the caller destroys the response.
 */
export async function sendBody(res: ServerResponse, body: BlobBody, { first, end, onSent }: Span): Promise<void> {
  const client = new Departure(res);
  let position = first;
  let step: Step = 0;
  let writing: Promise<boolean> | undefined;
  while (end === undefined || position < end) {
    const buffer = pool.take(step);
    const target = end === undefined ? buffer : buffer.subarray(0, Math.min(buffer.length, end - position));
    const count = await readUnlessLeft(body, { buffer, target, position }, client);
    if (count === 0) {
      pool.give(buffer);
      break;
    }
    if (writing !== undefined) step = nextStep(step, await settled(writing, buffer));
    writing = write(res, buffer, count);
    position += count;
    onSent(count);
  }
  await writing;
  if (end !== undefined && position < end) throw new Error(`the body ended at ${position} instead of ${end}`);
  await finish(res);
}

function nextStep(step: Step, wasQuick: boolean): Step {
  return wasQuick ? (Math.min(2, step + 1) as Step) : 0;
}

async function settled(writing: Promise<boolean>, next: Buffer): Promise<boolean> {
  try {
    return await writing;
  } catch (error) {
    pool.give(next);
    throw error;
  }
}

async function readUnlessLeft(
  body: BlobBody,
  { buffer, target, position }: { readonly buffer: Buffer; readonly target: Buffer; readonly position: number },
  client: Departure,
): Promise<number> {
  try {
    return await client.orLeft(body.read(target, position));
  } catch (error) {
    // The read may still be under way.
    pool.forget(buffer);
    throw error;
  }
}

/** Resolves when the kernel has taken the bytes, to whether it did so quickly; the buffer is free again then. */
function write(res: ServerResponse, buffer: Buffer, count: number): Promise<boolean> {
  const start = performance.now();
  const written = new Promise<boolean>((resolve, reject) => {
    const stalled = setTimeout(() => res.destroy(new ClientLeft('the client takes no bytes')), stalledClientMs);
    let isDone = false;
    // Node calls back at the latest when the socket closes, except for a write that was blocked at that moment.
    const done = (error?: Error | null) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(stalled);
      res.off('close', closed);
      pool.give(buffer);
      if (error) reject(new ClientLeft('the client has left', { cause: error }));
      else resolve(performance.now() - start < quickWriteMs);
    };
    const closed = () => {
      done(new Error('closed'));
    };
    res.once('close', closed);
    res.write(buffer.subarray(0, count), done);
  });
  // Awaited at the next turn; a failure before that is not unhandled.
  written.catch(() => undefined);
  return written;
}

/** Notices when the connection closes before the response has ended. */
class Departure {
  #hasLeft: boolean;
  #leave: () => void = () => undefined;

  constructor(res: ServerResponse) {
    this.#hasLeft = res.destroyed;
    res.once('close', () => {
      this.#hasLeft = true;
      this.#leave();
    });
  }

  /**
   * What the work gives, unless the client leaves first. Each wait has a promise of its own: one that lived as long as the response
   * would hold on to all that was ever raced with it.
   */
  orLeft<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#leave = () => reject(new ClientLeft('the client has left'));
      if (this.#hasLeft) this.#leave();
      work.then(resolve, reject);
    });
  }
}

function finish(res: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const left = () => reject(new ClientLeft('the client has left'));
    if (res.destroyed) return left();
    res.once('close', () => (res.writableFinished ? resolve() : left()));
    res.end(resolve);
  });
}
