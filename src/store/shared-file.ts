import type { FileHandle } from 'node:fs/promises';

/** An open file with several holders: the last one to let go closes it. */
export class SharedFile {
  readonly handle: FileHandle;
  readonly #onClosed: () => void;
  #holders = 0;
  #closed = false;

  constructor(handle: FileHandle, onClosed: () => void) {
    this.handle = handle;
    this.#onClosed = onClosed;
  }

  /** Undefined once it is closed. */
  hold(): AsyncDisposable | undefined {
    if (this.#closed) return undefined;
    this.#holders++;
    let held = true;
    return {
      [Symbol.asyncDispose]: async () => {
        if (!held) return;
        held = false;
        this.#holders--;
        if (this.#holders > 0) return;
        this.#closed = true;
        try {
          await this.handle.close();
        } finally {
          this.#onClosed();
        }
      },
    };
  }
}

/** Writes all of it: a single call may write less, on a disk that is nearly full for one. */
export async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
