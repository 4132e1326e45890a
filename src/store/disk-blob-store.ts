import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { access, constants, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostedStore, TakenBack } from '../hosted/ports.ts';
import {
  type BlobReader,
  type BlobRecord,
  type BlobStore,
  type BlobWriter,
  countedBytes,
  type Leftover,
  NoRoom,
  type Recording,
} from '../mirror/ports.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { ensureDirectory, renameDurably, unlessMissing } from '../ops/durable-files.ts';
import { Turns } from '../ops/turns.ts';
import type { Budget } from './budget.ts';
import { openWriter } from './disk-blob-writer.ts';
import { diskSpace, isDiskFull, sizeOf } from './files.ts';
import { Holds } from './holds.ts';
import { digestOfFile, digestOfLeftover, Layout } from './layout.ts';
import { Room } from './room.ts';

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

type Known = Pick<BlobRecord, 'size' | 'isHosted'>;

/**
 * Blobs as files named by their digest. Invariant: a path under `blobs/` exists only with verified content.
 *
 * Whatever changes a file under `blobs/` takes the digest's turn, looks there at what the ledger says of it, and has the
 * ledger told before the turn ends. So at the end of every turn a file that the ledger has as cached is counted, and one that it
 * has as hosted is not. A file of which the ledger says nothing is somebody's to clear away: it is written over, never relied on.
 */
export class DiskBlobStore implements BlobStore, HostedStore {
  readonly room: Room;
  /** What the ledger says of a digest; set once there is a ledger. */
  lookUp: (digest: Digest) => Promise<Known | undefined> = () => Promise.resolve(undefined);
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
    const land = (partial: { readonly size: number }, record: Recording) =>
      this.room.relieving(0, () => this.#turns.take(digest, () => this.#land(digest, partial.size, record)));
    const place = { layout: this.#layout, room: this.room, partials: this.#heldPartials, blobs: this.#held, land };
    return this.room.relieving(0, () => this.#turns.take(digest, () => openWriter(digest, place)));
  }

  /** False when it was stored by somebody else meanwhile: the partial file is of no use then. */
  async #land(digest: Digest, size: number, record: Recording): Promise<boolean> {
    const known = await this.#stored(digest);
    if (known?.isSound === true) {
      await record();
      return false;
    }
    // Counted for the partial file already, and counted on for the blob.
    const isHosted = await this.#place(digest, this.#layout.leftover('partial', digest), record);
    this.room.budget.release((isHosted ? size : 0) + countedOf(known));
    return true;
  }

  /** What the ledger says of it, and whether the file is there as it says. */
  async #stored(digest: Digest): Promise<(Known & { readonly isSound: boolean }) | undefined> {
    const known = await this.lookUp(digest);
    return known && { ...known, isSound: (await sizeOf(this.#layout.blob(digest))) === known.size };
  }

  /** Moves a file to its place and has it recorded, or moves it back. Gives whether it is hosted. */
  async #place(digest: Digest, from: string, record: Recording): Promise<boolean> {
    const path = this.#layout.blob(digest);
    await renameDurably(from, path);
    try {
      const { isHosted } = await record();
      this.#countedSinceStart?.add(digest);
      return isHosted;
    } catch (error) {
      await renameDurably(path, from);
      throw error;
    }
  }

  /** For a file under blobs/ that the ledger does not have. */
  #isStray(digest: Digest): boolean {
    return this.#countedSinceStart?.has(digest) === false;
  }

  async put(digest: Digest, bytes: Uint8Array, record: Recording): Promise<boolean> {
    requireDigest(digest, bytes);
    if (await this.#recordAgain(digest, record)) return true;
    const { length } = bytes;
    // Outside the turn: what is made to go for it may have to take that turn.
    if (!(await this.room.take(length))) return false;
    try {
      return await this.room.relieving(length, () => this.#put(digest, bytes, record));
    } catch (error) {
      this.room.budget.cancel(length);
      if (error instanceof NoRoom) return false;
      throw error;
    }
  }

  /** What is there already takes no further room. False, and nothing recorded, when it is not there. */
  #recordAgain(digest: Digest, record: Recording): Promise<boolean> {
    return this.#turns.take(digest, async () => {
      if ((await this.#stored(digest))?.isSound !== true) return false;
      await record();
      return true;
    });
  }

  async #put(digest: Digest, bytes: Uint8Array, record: Recording): Promise<boolean> {
    const { budget } = this.room;
    return this.#withIncoming(bytes, (incoming) =>
      this.#turns.take(digest, async () => {
        const known = await this.#stored(digest);
        if (known?.isSound === true) {
          await record();
          budget.cancel(bytes.length);
          return true;
        }
        const isHosted = await this.#place(digest, incoming, record);
        budget.written(bytes.length);
        budget.release((isHosted ? bytes.length : 0) + countedOf(known));
        return true;
      }),
    );
  }

  /** With the bytes in a synced file that is on its way, and gone afterwards if it is still there. */
  async #withIncoming<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
    const incoming = join(this.#layout.incoming, randomUUID());
    try {
      const handle = await open(incoming, 'wx');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      return await use(incoming);
    } finally {
      await rm(incoming, { force: true });
    }
  }

  async host(digest: Digest, bytes: Uint8Array, record: Recording): Promise<void> {
    requireDigest(digest, bytes);
    await this.room.onDisk(bytes.length, () =>
      this.#withIncoming(bytes, (incoming) => this.hostFile(digest, incoming, record)),
    );
  }

  /** The same for a synced file with what the digest says, which is gone afterwards. */
  async hostFile(digest: Digest, from: string, record: Recording): Promise<void> {
    await this.room.relieving(0, () =>
      this.#turns.take(digest, async () => {
        const known = await this.#stored(digest);
        if (known?.isSound === true) {
          await record();
          // Nobody has looked at the bytes that are there, and these were verified a moment ago.
          await renameDurably(from, this.#layout.blob(digest));
        } else await this.#place(digest, from, record);
        this.room.budget.release(countedOf(known));
      }),
    );
    await rm(from, { force: true });
  }

  mount(digest: Digest, record: Recording): Promise<boolean> {
    return this.#turns.take(digest, async () => {
      const known = await this.#stored(digest);
      if (known?.isSound !== true) return false;
      await record();
      this.room.budget.release(countedOf(known));
      return true;
    });
  }

  async unhost(digest: Digest, size: number, decide: (hasRoom: boolean) => Promise<TakenBack>): Promise<TakenBack> {
    const outcome = await this.#unhost(digest, 0, () => decide(false));
    if (outcome !== 'needs room') return outcome;
    // Outside the turn, and only for what stays as part of a cached image: what goes needs no room.
    if (!(await this.room.take(size))) return outcome;
    return this.#unhost(digest, size, () => decide(true));
  }

  /** With so many bytes promised for it, which it has or which are given back afterwards. */
  #unhost(digest: Digest, promised: number, decide: () => Promise<TakenBack>): Promise<TakenBack> {
    const { budget } = this.room;
    return this.#turns.take(digest, async () => {
      let outcome: TakenBack = 'hosted';
      try {
        outcome = await decide();
        if (outcome === 'gone') await rm(this.#layout.blob(digest), { force: true });
        return outcome;
      } finally {
        if (outcome === 'cached') budget.written(promised);
        else budget.cancel(promised);
      }
    });
  }

  delete(digest: Digest, counted: number): Promise<void> {
    return this.#turns.take(digest, async () => {
      if ((await this.lookUp(digest)) === undefined) await rm(this.#layout.blob(digest), { force: true });
      this.#held.afterwards(digest, () => this.room.budget.release(counted));
    });
  }

  quarantine(digest: Digest, counted: number): Promise<void> {
    return this.#turns.take(digest, async () => {
      const { budget } = this.room;
      if ((await this.lookUp(digest)) !== undefined) {
        budget.release(counted);
        return;
      }
      const [path, place] = [this.#layout.blob(digest), this.#layout.leftover('quarantined', digest)];
      const size = (await sizeOf(path)) ?? 0;
      const replaced = (await sizeOf(place)) ?? 0;
      // What was hosted was not counted, and in quarantine it is.
      if (size === 0 || budget.taken - counted + size > budget.limit) {
        await rm(path, { force: true });
        budget.release(counted);
        return;
      }
      await renameDurably(path, place);
      budget.count(size);
      budget.release(counted + replaced);
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
    for (const digest of [...this.#held.digests()]) {
      const isHosted = (await this.lookUp(digest))?.isHosted === true;
      bytes += isHosted ? 0 : ((await sizeOf(this.#layout.blob(digest))) ?? 0);
    }
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
  adopt(digest: Digest, record: (size: number) => Promise<Known | undefined>): Promise<boolean> {
    return this.#turns.take(digest, async () => {
      const size = await sizeOf(this.#layout.blob(digest));
      const recorded = size !== undefined && this.#isStray(digest) ? await record(size) : undefined;
      if (size === undefined || recorded === undefined) return false;
      this.room.budget.count(recorded.isHosted ? 0 : size);
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

function requireDigest(digest: Digest, bytes: Uint8Array): void {
  if (digestOf(bytes, algorithmOf(digest)) !== digest) throw new Error(`bytes that are not ${digest}`);
}

function countedOf(known: Known | undefined): number {
  return known === undefined ? 0 : countedBytes(known);
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
