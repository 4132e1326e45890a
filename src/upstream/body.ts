import type { Readable } from 'node:stream';

interface ReadBound {
  readonly bytes: number;
  readonly milliseconds: number;
}

/** undici's body, of which we use no more than this. */
type Source = Readable & { dump(options: { limit: number; signal: AbortSignal }): Promise<unknown> };

/** The bytes of an answer: to be read, streamed or discarded, once. */
export class Body {
  readonly #source: Source;

  constructor(source: Source) {
    this.#source = source;
    // A body that breaks tells its reader. Where nobody reads any more, nobody needs to know.
    source.on('error', () => undefined);
  }

  /** All of it; undefined at one byte more than the bound. Throws when it breaks off or takes too long. */
  async read(bound: ReadBound): Promise<Uint8Array | undefined> {
    const { bytes, complete } = await this.#gather(bound);
    return complete ? bytes : undefined;
  }

  /** As much of it as the bound lets through. Never throws. */
  async readSome(bound: ReadBound): Promise<Uint8Array> {
    try {
      return (await this.#gather(bound)).bytes;
    } catch {
      return new Uint8Array();
    }
  }

  /** Lets the connection be used again where little is left to come. Never throws. */
  async discard({ bytes, milliseconds }: ReadBound): Promise<void> {
    try {
      await this.#source.dump({ limit: bytes, signal: AbortSignal.timeout(milliseconds) });
    } catch {
      // It took too long, and the connection is closed.
    }
  }

  destroy(): void {
    this.#source.destroy();
  }

  /** Leaving the loop early closes the connection; `released` is called once, however reading ends. */
  stream(onBytes: (count: number) => void, released: () => void): AsyncIterable<Uint8Array> {
    const source = this.#source;
    source.once('close', released);
    return {
      [Symbol.asyncIterator]: () => {
        const chunks = source.iterator() as AsyncIterator<Uint8Array, undefined>;
        return {
          next: async () => {
            const result = await chunks.next();
            if (!result.done) onBytes(result.value.length);
            return result;
          },
          // The generator behind `chunks` does nothing on leaving before its first chunk.
          return: async () => {
            source.destroy();
            await chunks.return?.();
            return { done: true, value: undefined };
          },
        };
      },
    };
  }

  async #gather({ bytes: limit, milliseconds }: ReadBound): Promise<{ bytes: Uint8Array; complete: boolean }> {
    const source = this.#source;
    const timer = setTimeout(
      () => source.destroy(new Error(`the body took longer than ${milliseconds} ms`)),
      milliseconds,
    );
    // Not a list of chunks: an upstream may send them one byte long.
    let bytes: Uint8Array = new Uint8Array();
    let size = 0;
    try {
      for await (const chunk of source as AsyncIterable<Uint8Array>) {
        const room = size + chunk.length;
        if (room > limit) return { bytes: bytes.subarray(0, size), complete: false };
        if (room > bytes.length) bytes = enlarged(bytes, room);
        bytes.set(chunk, size);
        size = room;
      }
    } finally {
      clearTimeout(timer);
    }
    return { bytes: bytes.subarray(0, size), complete: true };
  }
}

function enlarged(bytes: Uint8Array, atLeast: number): Uint8Array {
  const larger = new Uint8Array(Math.max(atLeast, 2 * bytes.length));
  larger.set(bytes);
  return larger;
}
