import type { IncomingMessage } from 'node:http';
import type { Context } from './context.ts';
import { ClientLeft } from './send-body.ts';

/** A client that sends nothing for so long, in the middle of a body, is gone. */
const stalledClientMs = 10 * 60 * 1000;
/** What is left of the body of a request that was answered already is taken for so long, so that the answer is read. */
const lingerMs = 5_000;

/**
 * The bytes of a request as they come. It may be left at any time; what is not read then is no concern of whoever answers. Rejects
 * with {@link ClientLeft} when the connection ends before the body.
 */
export async function* requestBody({ req }: Context): AsyncIterable<Uint8Array> {
  const stalled = setTimeout(() => req.destroy(), stalledClientMs);
  try {
    for await (const piece of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      yield piece;
      stalled.refresh();
    }
  } catch (error) {
    throw new ClientLeft('the client has left before the end of what it sent', { cause: error });
  } finally {
    clearTimeout(stalled);
  }
  if (!req.complete) throw new ClientLeft('the client has left before the end of what it sent');
}

/** All of it; undefined when it is longer than `max` bytes. */
export async function wholeBody(ctx: Context, max: number): Promise<Buffer | undefined> {
  if (Number(ctx.headers['content-length'] ?? 0) > max) return undefined;
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of requestBody(ctx)) {
    size += piece.length;
    if (size > max) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Node takes what is left of a body after the answer, however long that is: this bounds it. */
export function boundUnreadBody({ req, res }: { readonly req: IncomingMessage; readonly res: Context['res'] }): void {
  res.once('finish', () => {
    if (req.complete) return;
    const timer = setTimeout(() => req.destroy(), lingerMs);
    req.once('close', () => clearTimeout(timer));
  });
}
