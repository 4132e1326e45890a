import { constants, open, rm } from 'node:fs/promises';
import type { BlobWriter, Recording } from '../mirror/ports.ts';
import { NoRoom } from '../mirror/ports.ts';
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts';
import type { Holds } from './holds.ts';
import type { Layout } from './layout.ts';
import type { Room } from './room.ts';
import { SharedFile, writeFully } from './shared-file.ts';

/** How much is reserved at once where nobody knows how long the blob is. */
const unknownSizeStepBytes = 8 * 1024 * 1024;
const replayPieceBytes = 1024 * 1024;

interface Place {
  readonly layout: Layout;
  readonly room: Room;
  /** Who has the partial file open, and who the file under blobs/. */
  readonly partials: Holds;
  readonly blobs: Holds;
  /** Puts the file into its place under blobs/, and has it recorded; false when the blob was there already. */
  readonly land: (partial: { readonly size: number }, record: Recording) => Promise<boolean>;
}

/** Opens the partial file of a digest. The caller sees to it that a digest has one writer at a time. */
export async function openWriter(digest: Digest, place: Place): Promise<BlobWriter> {
  const handle = await open(place.layout.leftover('partial', digest), constants.O_RDWR | constants.O_CREAT);
  try {
    const { size } = await handle.stat();
    let letGo = place.partials.hold(digest);
    const land: Place['land'] = async (partial, record) => {
      if (!(await place.land(partial, record))) return false;
      const letGoOfPartial = letGo;
      letGo = place.blobs.hold(digest);
      letGoOfPartial();
      return true;
    };
    const file = new SharedFile(handle, () => letGo());
    return new DiskBlobWriter(digest, { ...place, land }, { file, kept: size });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class DiskBlobWriter implements BlobWriter {
  readonly #digest: Digest;
  readonly #place: Place;
  readonly #file: SharedFile;
  readonly #ownHold: AsyncDisposable | undefined;
  readonly #digester: Digester;
  /** Invariant: the budget counts exactly these bytes for this writer, `#taken - #onDisk` of them as promised. */
  #taken: number;
  #onDisk: number;
  #kept: number;
  #written = 0;
  #state: 'writing' | 'verified' | 'refuted' | 'ended' = 'writing';

  constructor(digest: Digest, place: Place, { file, kept }: { file: SharedFile; kept: number }) {
    this.#kept = kept;
    this.#digest = digest;
    this.#place = place;
    this.#file = file;
    this.#ownHold = file.hold();
    this.#digester = new Digester(algorithmOf(digest));
    this.#taken = kept;
    this.#onDisk = kept;
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

  digester(): Digester {
    return this.#digester.fork();
  }

  couldFit(size: number): boolean {
    return size <= this.#place.room.budget.limit;
  }

  async reserve(size: number): Promise<boolean> {
    return this.#take(Math.max(0, size - this.#taken));
  }

  async #take(bytes: number): Promise<boolean> {
    if (!(await this.#place.room.take(bytes))) return false;
    this.#taken += bytes;
    return true;
  }

  async restart(): Promise<void> {
    if (this.#written > 0) throw new Error('restart after bytes were hashed');
    await this.#file.handle.truncate(0);
    this.#place.room.budget.release(this.#kept);
    this.#taken -= this.#kept;
    this.#onDisk = 0;
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
    await this.#makeRoom(bytes.length);
    await this.#place.room.relieving(bytes.length, () => writeFully(this.#file.handle, bytes, this.#written));
    this.#digester.update(bytes);
    this.#written += bytes.length;
    this.#place.room.budget.written(bytes.length);
    this.#onDisk += bytes.length;
  }

  async #makeRoom(bytes: number): Promise<void> {
    const missing = this.#written + bytes - this.#taken;
    if (missing <= 0) return;
    const step = Math.max(missing, unknownSizeStepBytes);
    if ((await this.#take(step)) || (step > missing && (await this.#take(missing)))) return;
    throw new NoRoom(`no room for ${missing} more bytes of ${this.#digest}`);
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

  async commit(record: Recording): Promise<void> {
    if (this.#state !== 'verified') throw new Error(`commit of ${this.#digest} before it was verified`);
    await this.#file.handle.sync();
    if (!(await this.#place.land({ size: this.#written }, record))) return this.discard();
    this.#state = 'ended';
    this.#settle(this.#written);
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await rm(this.#place.layout.leftover('partial', this.#digest), { force: true });
    // Readers of what was written so far keep its room.
    this.#settle(this.#onDisk);
    const { partials, room } = this.#place;
    const onDisk = this.#onDisk;
    partials.afterwards(this.#digest, () => room.budget.release(onDisk));
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'ended') return;
    // What the file has: a write that failed half-way has left bytes of its own.
    const { size } = await this.#file.handle.stat();
    if (this.#state === 'refuted' || size === 0) return this.discard();
    this.#state = 'ended';
    this.#settle(size);
    await this.#ownHold?.[Symbol.asyncDispose]();
  }

  /** Gives back what was taken beyond the bytes that stay on disk. */
  #settle(staying: number): void {
    const { budget } = this.#place.room;
    budget.written(this.#taken - this.#onDisk);
    budget.release(this.#taken - staying);
    this.#taken = 0;
  }
}
