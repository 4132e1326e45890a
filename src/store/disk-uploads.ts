import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Upload, UploadState, Uploads } from '../hosted/ports.ts';
import { NoRoom } from '../mirror/ports.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, Digester } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/repository-name.ts';
import { ensureDirectory, unlessMissing } from '../ops/durable-files.ts';
import { Turns } from '../ops/turns.ts';
import type { DiskBlobStore } from './disk-blob-store.ts';
import { sizeOf } from './files.ts';
import type { Layout } from './layout.ts';
import { writeFully } from './shared-file.ts';

/** A look at how much room the disk has left comes before each of these. */
const roomStepBytes = 8 * 1024 * 1024;
const hashPieceBytes = 1024 * 1024;
/** Hashes of uploads that are kept between their requests; any other is made again from the file. */
const maxKeptHashes = 1_000;

/** `sha256` where nothing else is said, so that an id is as short as a client may expect. */
const idSyntax = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-sha512)?$/;

function algorithmFor(id: string): DigestAlgorithm {
  return id.endsWith('-sha512') ? 'sha512' : 'sha256';
}

interface KeptHash {
  readonly digester: Digester;
  /** Of the bytes that it has seen. */
  readonly size: number;
}

/** Whoever is writing to an upload just now. */
interface Appending {
  readonly cut: () => void;
}

/**
 * Uploads as files that grow. The file's name has the id, which is all that is known of an upload but its bytes, and a hash of the
 * repository: an id is good for the repository it was given for, also after a restart.
 */
export class DiskUploads implements Uploads {
  readonly #layout: Layout;
  readonly #store: DiskBlobStore;
  readonly #turns = new Turns<string>();
  readonly #hashes = new LRUCache<string, KeptHash>({ max: maxKeptHashes });
  readonly #appending = new Map<string, Appending>();

  private constructor(layout: Layout, store: DiskBlobStore) {
    this.#layout = layout;
    this.#store = store;
  }

  static async open(layout: Layout, store: DiskBlobStore): Promise<DiskUploads> {
    await ensureDirectory(layout.uploads);
    return new DiskUploads(layout, store);
  }

  async begin(repository: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadState> {
    const id = algorithm === 'sha256' ? randomUUID() : `${randomUUID()}-${algorithm}`;
    const path = this.#path(repository, id);
    const handle = await this.#store.room.onDisk(0, () => open(path, 'wx', 0o600));
    await handle.close();
    return { id, size: 0 };
  }

  async find(repository: RepositoryName, id: string): Promise<Upload | undefined> {
    if (!idSyntax.test(id)) return undefined;
    const path = this.#path(repository, id);
    const size = await sizeOf(path);
    if (size === undefined) return undefined;
    return {
      id,
      size,
      append: (source, at) => this.#append(id, path, { source, at }),
      complete: (digest, record) => this.#complete(id, path, { digest, record }),
      cancel: () => this.#cutting(id, () => this.#drop(id, path)),
    };
  }

  #path(repository: RepositoryName, id: string): string {
    const hash = createHash('sha256').update(repository).digest('hex').slice(0, 32);
    return join(this.#layout.uploads, `${id}.${hash}`);
  }

  /** One request at a time: a client that has lost its connection comes back on another one before we know of it. */
  async #cutting<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#appending.get(id)?.cut();
    return this.#turns.take(id, work);
  }

  #append(
    id: string,
    path: string,
    { source, at }: { readonly source: AsyncIterable<Uint8Array>; readonly at: AppendSpan | undefined },
  ): Promise<{ readonly ok: boolean; readonly size: number }> {
    return this.#cutting(id, async () => {
      const handle = await open(path, 'r+').catch(unlessMissing);
      if (handle === undefined) return { ok: false, size: 0 };
      try {
        const { size } = await handle.stat();
        if (at !== undefined && at.first !== size) return { ok: false, size };
        const digester = await this.#digesterOf(id, handle, size);
        return await this.#write(id, { handle, digester, size, source, end: at?.end });
      } catch (error) {
        if (error instanceof NoRoom) await this.#drop(id, path);
        throw error;
      } finally {
        await handle.close();
      }
    });
  }

  /** Gives the size at the end; not ok when it was cut off. The hash is kept however it ends. */
  async #write(
    id: string,
    { handle, digester, size, source, end = Number.POSITIVE_INFINITY }: Writing,
  ): Promise<{ readonly ok: boolean; readonly size: number }> {
    let written = size;
    const state = { isCut: false };
    let roomUpTo = size;
    const iterator = source[Symbol.asyncIterator]();
    let cutWait: () => void = () => undefined;
    const cut = () => {
      state.isCut = true;
      cutWait();
    };
    // A new promise for each piece: one that lives as long as the upload would hold on to all that was ever raced with it.
    const take = () =>
      new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        cutWait = () => resolve({ done: true, value: undefined });
        iterator.next().then(resolve, reject);
      });
    this.#appending.set(id, { cut });
    try {
      while (!state.isCut) {
        const next = await take();
        if (next.done === true) break;
        const piece = next.value.subarray(0, Math.max(0, end - written));
        const write = () => writeFully(handle, piece, written);
        const needsLook = written + piece.length > roomUpTo;
        if (needsLook) roomUpTo = written + roomStepBytes;
        await (needsLook
          ? this.#store.room.onDisk(roomStepBytes, write)
          : this.#store.room.relieving(piece.length, write));
        digester.update(piece);
        written += piece.length;
        if (piece.length < next.value.length) break;
      }
      return { ok: !state.isCut, size: written };
    } finally {
      this.#appending.delete(id);
      this.#hashes.set(id, { digester, size: written });
      // A write that failed half-way has left bytes that were not hashed.
      await handle.truncate(written);
    }
  }

  async #digesterOf(id: string, handle: FileHandle, size: number): Promise<Digester> {
    const kept = this.#hashes.get(id);
    this.#hashes.delete(id);
    return kept?.size === size ? kept.digester : hashOf(handle, size, algorithmFor(id));
  }

  async #complete(
    id: string,
    path: string,
    { digest, record }: { readonly digest: Digest; readonly record: Parameters<Upload['complete']>[1] },
  ): Promise<boolean> {
    return this.#cutting(id, async () => {
      const handle = await open(path, 'r+').catch(unlessMissing);
      if (handle === undefined) return false;
      let size = 0;
      try {
        ({ size } = await handle.stat());
        const kept = this.#hashes.get(id);
        const isKept = kept?.size === size && algorithmOf(digest) === algorithmFor(id);
        const digester = isKept ? kept.digester.fork() : await hashOf(handle, size, algorithmOf(digest));
        if (digester.digest() !== digest) {
          await this.#drop(id, path);
          return false;
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await this.#store.hostFile(digest, path, () => record(size));
      this.#hashes.delete(id);
      return true;
    });
  }

  async #drop(id: string, path: string): Promise<void> {
    this.#hashes.delete(id);
    await rm(path, { force: true });
  }

  async expire(before: number): Promise<number> {
    let expired = 0;
    for (const name of await readdir(this.#layout.uploads)) {
      const [id = ''] = name.split('.', 1);
      const path = join(this.#layout.uploads, name);
      if (this.#appending.has(id)) continue;
      const isExpired = await this.#turns.take(id, async () => {
        const file = await stat(path).catch(unlessMissing);
        if (file === undefined || file.mtimeMs >= before) return false;
        await this.#drop(id, path);
        return true;
      });
      if (isExpired) expired++;
    }
    return expired;
  }
}

interface AppendSpan {
  readonly first: number;
  /** The position after the last byte. */
  readonly end: number;
}

interface Writing {
  readonly handle: FileHandle;
  readonly digester: Digester;
  readonly size: number;
  readonly source: AsyncIterable<Uint8Array>;
  readonly end: number | undefined;
}

async function hashOf(handle: FileHandle, size: number, algorithm: DigestAlgorithm): Promise<Digester> {
  const digester = new Digester(algorithm);
  const piece = Buffer.allocUnsafe(Math.min(hashPieceBytes, size));
  for (let position = 0; position < size; ) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, size - position), position);
    if (bytesRead === 0) throw new Error('the file of an upload became shorter');
    digester.update(piece.subarray(0, bytesRead));
    position += bytesRead;
  }
  return digester;
}
