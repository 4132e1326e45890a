import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { access, constants, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobReader, BlobStore, BlobWriter } from '../mirror/ports.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import type { Budget } from './budget.ts';
import { openWriter } from './disk-blob-writer.ts';
import { ensureDirectory, isDiskFull, renameDurably, sizeOf, unlessMissing } from './files.ts';
import { digestOfFile, Layout } from './layout.ts';
import { Turns } from './turns.ts';

/** Blobs as files named by their digest. Invariant: a path under `blobs/` exists only with verified content. */
export class DiskBlobStore implements BlobStore {
  readonly #layout: Layout;
  readonly #budget: Budget;
  readonly #turns = new Turns();

  private constructor(layout: Layout, budget: Budget) {
    this.#layout = layout;
    this.#budget = budget;
  }

  /**
   * Makes the directories, throws away what a crash left in `incoming/`, and counts the partial files. Committed blobs are
   * for the caller to count: the ledger knows their sum without a walk.
   */
  static async open(root: string, budget: Budget): Promise<DiskBlobStore> {
    const layout = new Layout(root);
    await rm(layout.incoming, { recursive: true, force: true });
    for (const directory of [layout.blobs, layout.partial, layout.incoming]) await ensureDirectory(directory);
    const store = new DiskBlobStore(layout, budget);
    await store.check();
    for (const name of await readdir(layout.partial)) budget.count((await stat(join(layout.partial, name))).size);
    return store;
  }

  /** Rejects when the directories cannot be written to. */
  async check(): Promise<void> {
    for (const directory of [this.#layout.blobs, this.#layout.partial, this.#layout.incoming]) {
      await access(directory, constants.W_OK);
    }
  }

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const handle = await openIfThere(this.#layout.blob(digest));
    if (handle === undefined) return undefined;
    try {
      return new DiskBlobReader(handle, (await handle.stat()).size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  begin(digest: Digest): Promise<BlobWriter> {
    return openWriter(digest, { layout: this.#layout, budget: this.#budget, turns: this.#turns });
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    if (digestOf(bytes, algorithmOf(digest)) !== digest) throw new Error(`put of bytes that are not ${digest}`);
    return this.#turns.take(digest, () => this.#put(digest, bytes));
  }

  async #put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    if ((await sizeOf(this.#layout.blob(digest))) !== undefined) return true;
    if (!this.#budget.reserve(bytes.length)) return false;
    const incoming = join(this.#layout.incoming, randomUUID());
    try {
      const handle = await open(incoming, 'wx');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await renameDurably(incoming, this.#layout.blob(digest));
      return true;
    } catch (error) {
      this.#budget.release(bytes.length);
      await rm(incoming, { force: true });
      if (isDiskFull(error)) return false;
      throw error;
    }
  }

  delete(digest: Digest, counted?: number): Promise<void> {
    return this.#turns.take(digest, () => this.#delete(digest, counted));
  }

  async #delete(digest: Digest, counted?: number): Promise<void> {
    const path = this.#layout.blob(digest);
    const size = (await sizeOf(path)) ?? 0;
    await rm(path, { force: true });
    this.#budget.release(counted ?? size);
  }

  async *list(): AsyncIterable<{ readonly digest: Digest; readonly size: number; readonly storedAt: number }> {
    for (const algorithm of await entriesOf(this.#layout.blobs)) {
      for (const shard of await entriesOf(join(this.#layout.blobs, algorithm))) {
        for (const name of await entriesOf(join(this.#layout.blobs, algorithm, shard))) {
          const digest = digestOfFile(algorithm, name);
          const found = digest && (await stat(this.#layout.blob(digest)).catch(unlessMissing));
          if (digest && found) yield { digest, size: found.size, storedAt: found.mtimeMs };
        }
      }
    }
  }
}

class DiskBlobReader implements BlobReader {
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.size = size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(target, 0, target.length, position)).bytesRead;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** None in a stray file that lies where a directory should. */
async function entriesOf(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return [];
    throw error;
  });
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch(unlessMissing);
}
