import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { access, constants, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobReader, type BlobStore, type BlobWriter, type Leftover, NoRoom } from '../mirror/ports.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import type { Budget } from './budget.ts';
import { openWriter } from './disk-blob-writer.ts';
import { diskSpace, ensureDirectory, isDiskFull, renameDurably, sizeOf, unlessMissing } from './files.ts';
import { Holds } from './holds.ts';
import { digestOfFile, digestOfLeftover, Layout } from './layout.ts';
import { Room } from './room.ts';
import { Turns } from './turns.ts';

interface Options {
  /** Bytes of the disk to be left for others; by default a part of it. */
  readonly minFree?: number | undefined;
  /**
   * True where blobs/ may have files that the ledger, and so the budget, does not know: after a stop that was not clean,
   * until {@link DiskBlobStore.reconciled}.
   */
  readonly mayHaveStrays?: boolean;
}

/** Kept for the ledger, which has to write down what goes when the disk is full. */
const ballastBytes = 1024 * 1024;

/** What is left for others by default: this share of the disk, and no more than so many bytes. */
const defaultMinFree = { share: 0.05, maxBytes: 1024 ** 3 };

/** Blobs as files named by their digest. Invariant: a path under `blobs/` exists only with verified content. */
export class DiskBlobStore implements BlobStore {
  readonly room: Room;
  readonly #layout: Layout;
  readonly #turns = new Turns<Digest>();
  /** Who has a file under blobs/ open, and who a partial one. */
  readonly #held = new Holds();
  readonly #heldPartials = new Holds();
  /** What was stored since the start; undefined once all that is there is counted. */
  #countedSinceStart: Set<Digest> | undefined;

  private constructor(layout: Layout, room: Room, mayHaveStrays: boolean) {
    this.#layout = layout;
    this.room = room;
    this.#countedSinceStart = mayHaveStrays ? new Set() : undefined;
  }

  /**
   * Makes the directories, throws away what a crash left in `incoming/`, and counts partial and quarantined files. Committed
   * blobs are for the caller to count: the ledger knows their sum without a walk.
   */
  static async open(
    root: string,
    budget: Budget,
    { minFree, mayHaveStrays = false }: Options = {},
  ): Promise<DiskBlobStore> {
    const layout = new Layout(root);
    await rm(layout.incoming, { recursive: true, force: true });
    for (const directory of [layout.blobs, layout.partial, layout.quarantine, layout.incoming]) {
      await ensureDirectory(directory);
    }
    const free = async () => (await diskSpace(layout.blobs)).free;
    const store = new DiskBlobStore(layout, new Room(budget, { free, minFree: 0 }), mayHaveStrays);
    await store.leaveFree(minFree);
    await store.check();
    for (const { size } of await store.leftovers()) budget.count(size);
    return store;
  }

  /** In bytes; by default a part of the disk. */
  async leaveFree(minFree: number | undefined): Promise<void> {
    const { size } = await diskSpace(this.#layout.blobs);
    this.room.minFree = minFree ?? Math.min(defaultMinFree.maxBytes, Math.floor(size * defaultMinFree.share));
  }

  /** Rejects when the directories cannot be written to. */
  async check(): Promise<void> {
    for (const directory of [this.#layout.blobs, this.#layout.partial, this.#layout.incoming]) {
      await access(directory, constants.W_OK);
    }
  }

  async open(digest: Digest): Promise<BlobReader | undefined> {
    const letGo = this.#held.hold(digest);
    try {
      const handle = await open(this.#layout.blob(digest), 'r').catch(unlessMissing);
      if (handle !== undefined) return await readerOf(handle, letGo);
      letGo();
      return undefined;
    } catch (error) {
      letGo();
      throw error;
    }
  }

  begin(digest: Digest): Promise<BlobWriter> {
    const land = () => this.room.relieving(0, () => this.#turns.take(digest, () => this.#land(digest)));
    const place = { layout: this.#layout, room: this.room, partials: this.#heldPartials, blobs: this.#held, land };
    return this.room.relieving(0, () => this.#turns.take(digest, () => openWriter(digest, place)));
  }

  /** The bytes are counted for the partial file already. */
  async #land(digest: Digest): Promise<void> {
    const path = this.#layout.blob(digest);
    const replaced = (await sizeOf(path)) ?? 0;
    await renameDurably(this.#layout.leftover('partial', digest), path);
    this.room.budget.release(this.#isStray(digest) ? 0 : replaced);
    this.#countedSinceStart?.add(digest);
  }

  /** For a file under blobs/ that the ledger does not have. */
  #isStray(digest: Digest): boolean {
    return this.#countedSinceStart?.has(digest) === false;
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    if (digestOf(bytes, algorithmOf(digest)) !== digest) throw new Error(`put of bytes that are not ${digest}`);
    const { length } = bytes;
    if (await this.#turns.take(digest, () => this.#isCounted(digest, length))) return true;
    // Outside the turn: what is made to go for it may have to take that turn.
    if (!(await this.room.take(length))) return false;
    try {
      return await this.room.relieving(length, () => this.#turns.take(digest, () => this.#put(digest, bytes)));
    } catch (error) {
      this.room.budget.cancel(length);
      if (error instanceof NoRoom) return false;
      throw error;
    }
  }

  /** Somebody else has just stored it. */
  async #isCounted(digest: Digest, bytes: number): Promise<boolean> {
    return !this.#isStray(digest) && (await sizeOf(this.#layout.blob(digest))) === bytes;
  }

  async #put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    if (await this.#isCounted(digest, bytes.length)) {
      this.room.budget.cancel(bytes.length);
      return true;
    }
    const path = this.#layout.blob(digest);
    const incoming = join(this.#layout.incoming, randomUUID());
    try {
      const handle = await open(incoming, 'wx');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await renameDurably(incoming, path);
    } catch (error) {
      await rm(incoming, { force: true });
      throw error;
    }
    this.room.budget.written(bytes.length);
    this.#countedSinceStart?.add(digest);
    return true;
  }

  delete(digest: Digest, counted?: number): Promise<void> {
    return this.#turns.take(digest, async () => {
      const path = this.#layout.blob(digest);
      const bytes = counted ?? (await sizeOf(path)) ?? 0;
      await rm(path, { force: true });
      this.#held.afterwards(digest, () => this.room.budget.release(bytes));
    });
  }

  has(digest: Digest): Promise<boolean> {
    return this.#turns.take(digest, async () => (await sizeOf(this.#layout.blob(digest))) !== undefined);
  }

  quarantine(digest: Digest, counted: number): Promise<void> {
    return this.#turns.take(digest, async () => {
      const [path, place] = [this.#layout.blob(digest), this.#layout.leftover('quarantined', digest)];
      const size = (await sizeOf(path)) ?? 0;
      const replaced = (await sizeOf(place)) ?? 0;
      if (size > 0) await renameDurably(path, place);
      else await rm(path, { force: true });
      const { budget } = this.room;
      budget.count(size);
      budget.release(counted + (size > 0 ? replaced : 0));
    });
  }

  hold(digest: Digest): Promise<AsyncDisposable> {
    const letGo = this.#held.hold(digest);
    return Promise.resolve({
      [Symbol.asyncDispose]: () => {
        letGo();
        return Promise.resolve();
      },
    });
  }

  inUse(): Promise<ReadonlySet<Digest>> {
    return Promise.resolve(new Set([...this.#held.digests(), ...this.#heldPartials.digests()]));
  }

  async bytesInUse(): Promise<number> {
    let bytes = 0;
    for (const digest of this.#held.digests()) bytes += (await sizeOf(this.#layout.blob(digest))) ?? 0;
    for (const digest of this.#heldPartials.digests()) {
      bytes += (await sizeOf(this.#layout.leftover('partial', digest))) ?? 0;
    }
    return bytes;
  }

  dropBallast(): Promise<boolean> {
    return dropBallast(this.#layout.root);
  }

  async keepBallast(): Promise<void> {
    const { ballast } = this.#layout;
    if ((await sizeOf(ballast)) === ballastBytes || (await this.room.free()) < 2 * ballastBytes) return;
    await writeFile(ballast, Buffer.alloc(ballastBytes)).catch((error: unknown) => {
      if (!isDiskFull(error)) throw error;
    });
  }

  async leftovers(): Promise<readonly Leftover[]> {
    return [...(await this.#leftovers('quarantined')), ...(await this.#leftovers('partial'))];
  }

  /** The oldest first. A stray file among them is not ours, and not counted. */
  async #leftovers(kind: Leftover['kind']): Promise<readonly Leftover[]> {
    const found: Leftover[] = [];
    for (const name of await readdir(this.#layout.directoryOf(kind))) {
      const digest = digestOfLeftover(name);
      if (digest === undefined || (kind === 'partial' && this.#heldPartials.has(digest))) continue;
      const file = await stat(this.#layout.leftover(kind, digest)).catch(unlessMissing);
      if (file !== undefined) found.push({ kind, digest, size: file.size, at: file.mtimeMs });
    }
    return found.toSorted((one, other) => one.at - other.at);
  }

  drop({ kind, digest }: Leftover): Promise<boolean> {
    return this.#turns.take(digest, async () => {
      if (kind === 'partial' && this.#heldPartials.has(digest)) return false;
      const path = this.#layout.leftover(kind, digest);
      const size = await sizeOf(path);
      if (size === undefined) return false;
      await rm(path);
      // What was put aside while somebody was reading it has its room until then.
      const held = kind === 'partial' ? this.#heldPartials : this.#held;
      held.afterwards(digest, () => this.room.budget.release(size));
      return true;
    });
  }

  /**
   * For a file that the ledger does not have: counts it when `record`, given its size, has recorded it. Nothing else happens
   * to the digest meanwhile.
   */
  adopt(digest: Digest, record: (size: number) => Promise<boolean>): Promise<boolean> {
    return this.#turns.take(digest, async () => {
      const size = await sizeOf(this.#layout.blob(digest));
      if (size === undefined || !this.#isStray(digest) || !(await record(size))) return false;
      this.room.budget.count(size);
      this.#countedSinceStart?.add(digest);
      return true;
    });
  }

  /** All that is under blobs/ is counted from now on. */
  reconciled(): void {
    this.#countedSinceStart = undefined;
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

/** Before a start in this directory: a ledger cannot even be opened without some room. */
export async function dropBallastIfFull(root: string): Promise<void> {
  if ((await diskSpace(root)).free < ballastBytes) await dropBallast(root);
}

/** False when there was none. */
async function dropBallast(root: string): Promise<boolean> {
  const { ballast } = new Layout(root);
  const hadSome = ((await sizeOf(ballast)) ?? 0) > 0;
  await rm(ballast, { force: true });
  return hadSome;
}

class DiskBlobReader implements BlobReader {
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #letGo: () => void;

  constructor(handle: FileHandle, size: number, letGo: () => void) {
    this.#handle = handle;
    this.size = size;
    this.#letGo = letGo;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(target, 0, target.length, position)).bytesRead;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#handle.close();
    } finally {
      this.#letGo();
    }
  }
}

async function readerOf(handle: FileHandle, letGo: () => void): Promise<BlobReader> {
  try {
    return new DiskBlobReader(handle, (await handle.stat()).size, letGo);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** None in a stray file that lies where a directory should. */
async function entriesOf(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTDIR') return [];
    throw error;
  });
}
