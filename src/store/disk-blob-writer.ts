import { constants, open, rm } from 'node:fs/promises';
import type { BlobWriter } from '../mirror/ports.ts';
import { NoRoom } from '../mirror/ports.ts';
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts';
import type { Budget } from './budget.ts';
import { hasFreeSpace, isDiskFull, renameDurably, sizeOf } from './files.ts';
import type { Layout } from './layout.ts';
import { SharedFile, writeFully } from './shared-file.ts';
import type { Turns } from './turns.ts';

/** How much is reserved at once where nobody knows how long the blob is. */
const unknownSizeStepBytes = 8 * 1024 * 1024;
const replayPieceBytes = 1024 * 1024;

interface Place {
  readonly layout: Layout;
  readonly budget: Budget;
  readonly turns: Turns;
}

/** Opens the partial file of a digest. The caller sees to it that a digest has one writer at a time. */
export async function openWriter(digest: Digest, place: Place): Promise<BlobWriter> {
  const handle = await open(place.layout.partialOf(digest), constants.O_RDWR | constants.O_CREAT);
  try {
    const { size } = await handle.stat();
    return new DiskBlobWriter(digest, place, { file: new SharedFile(handle), kept: size });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class DiskBlobWriter implements BlobWriter {
  readonly #digest: Digest;
  readonly #layout: Layout;
  readonly #budget: Budget;
  readonly #turns: Turns;
  readonly #file: SharedFile;
  readonly #ownHold: AsyncDisposable | undefined;
  readonly #digester: Digester;
  /** Invariant: the budget counts exactly these bytes for this writer; never fewer than the file has. */
  #taken: number;
  #kept: number;
  #written = 0;
  #state: 'writing' | 'verified' | 'refuted' | 'ended' = 'writing';

  constructor(digest: Digest, { layout, budget, turns }: Place, { file, kept }: { file: SharedFile; kept: number }) {
    this.#kept = kept;
    this.#digest = digest;
    this.#layout = layout;
    this.#budget = budget;
    this.#turns = turns;
    this.#file = file;
    this.#ownHold = file.hold();
    this.#digester = new Digester(algorithmOf(digest));
    this.#taken = kept;
  }

  get kept(): number {
    return this.#kept;
  }

  get written(): number {
    return this.#written;
  }

  hold(): AsyncDisposable | undefined {
    return this.#file.hold();
  }

  async reserve(size: number): Promise<boolean> {
    const onDisk = Math.max(this.#written, this.#kept);
    if (!(await hasFreeSpace(this.#layout.partial, size - onDisk))) return false;
    const missing = Math.max(0, size - this.#taken);
    if (!this.#budget.reserve(missing)) return false;
    this.#taken += missing;
    return true;
  }

  async restart(): Promise<void> {
    if (this.#written > 0) throw new Error('restart after bytes were hashed');
    await this.#file.handle.truncate(0);
    this.#budget.release(this.#kept);
    this.#taken -= this.#kept;
    this.#kept = 0;
  }

  async replay(): Promise<boolean> {
    const piece = Buffer.allocUnsafe(Math.min(replayPieceBytes, this.kept - this.#written));
    if (piece.length === 0) return false;
    const { bytesRead } = await this.#file.handle.read(piece, 0, piece.length, this.#written);
    if (bytesRead === 0) throw new Error(`the partial file of ${this.#digest} became shorter`);
    this.#digester.update(piece.subarray(0, bytesRead));
    this.#written += bytesRead;
    return true;
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#state !== 'writing' || this.#written < this.kept)
      throw new Error('append before replay or after the end');
    this.#makeRoom(bytes.length);
    this.#digester.update(bytes);
    try {
      await writeFully(this.#file.handle, bytes, this.#written);
    } catch (error) {
      throw isDiskFull(error) ? new NoRoom('the disk is full', { cause: error }) : error;
    }
    this.#written += bytes.length;
  }

  #makeRoom(bytes: number): void {
    const missing = this.#written + bytes - this.#taken;
    if (missing <= 0) return;
    const step = [Math.max(missing, unknownSizeStepBytes), missing].find((room) => this.#budget.reserve(room));
    if (step === undefined) throw new NoRoom(`no room for ${missing} more bytes of ${this.#digest}`);
    this.#taken += step;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const length = Math.min(target.length, this.#written - position);
    if (length <= 0) return 0;
    return (await this.#file.handle.read(target, 0, length, position)).bytesRead;
  }

  verify(): boolean {
    if (this.#state !== 'writing' || this.#written < this.kept) throw new Error('verify before replay or twice');
    const agrees = this.#digester.digest() === this.#digest;
    this.#state = agrees ? 'verified' : 'refuted';
    return agrees;
  }

  async commit(): Promise<void> {
    if (this.#state !== 'verified') throw new Error(`commit of ${this.#digest} before it was verified`);
    await this.#file.handle.sync();
    await this.#turns.take(this.#digest, () => this.#takeItsPlace());
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  async #takeItsPlace(): Promise<void> {
    const replaced = (await sizeOf(this.#layout.blob(this.#digest))) ?? 0;
    await renameDurably(this.#layout.partialOf(this.#digest), this.#layout.blob(this.#digest));
    this.#state = 'ended';
    this.#settle(this.#written);
    this.#budget.release(replaced);
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await rm(this.#layout.partialOf(this.#digest), { force: true });
    this.#settle(0);
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'ended') return;
    // What the file has: an append that failed half-way has left bytes of its own.
    const { size } = await this.#file.handle.stat();
    if (this.#state === 'refuted' || size === 0) return this.discard();
    this.#state = 'ended';
    this.#settle(size);
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  /** Gives back what was taken beyond the bytes that stay on disk. */
  #settle(staying: number): void {
    this.#budget.release(this.#taken - staying);
    this.#taken = 0;
  }
}
