import { NoRoom } from '../mirror/ports.ts';
import type { Budget } from './budget.ts';
import { isDiskFull } from './files.ts';
import { Turns } from './turns.ts';

/** Makes at least so many bytes go where that is possible, and gives how many went. */
export type MakeRoom = (bytes: number) => Promise<number>;

/** Where others fill the disk as fast as room is made. */
const maxTriesOnFullDisk = 3;

interface Disk {
  /** Bytes that this user may still write there. Others write there too: it is no promise. */
  readonly free: () => Promise<number>;
  /** Bytes to be left for others. */
  readonly minFree: number;
}

/** Room for bytes: under the cap, on the disk, and, where there is none, what can be made to go for it. */
export class Room {
  readonly budget: Budget;
  /** Bytes that this user may still write on the disk. */
  readonly free: Disk['free'];
  readonly #turns = new Turns<'all'>();
  minFree: number;
  /** Set once there is somebody who can. */
  makeRoom: MakeRoom = () => Promise.resolve(0);

  constructor(budget: Budget, { free, minFree }: Disk) {
    this.budget = budget;
    this.free = free;
    this.minFree = minFree;
  }

  /** Promises the bytes, as {@link Budget.reserve} does. One after the other, so that nobody takes what was made for another. */
  take(bytes: number): Promise<boolean> {
    return this.#turns.take('all', async () => {
      for (;;) {
        if (bytes > this.budget.limit) return false;
        const missing = await this.missing(bytes);
        if (missing <= 0 && this.budget.reserve(bytes)) return true;
        if ((await this.makeRoom(Math.max(missing, 1))) === 0) return false;
      }
    });
  }

  /**
   * For a write of promised bytes: others may have filled the disk since. Whatever can be made to go goes before the write is
   * given up.
   *
   * @throws {NoRoom}
   */
  async relieving<T>(bytes: number, write: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await write();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        const freed = tries < maxTriesOnFullDisk && (await this.makeRoom(bytes)) > 0;
        if (!freed) throw new NoRoom('the disk is full', { cause: error });
      }
    }
  }

  /** How many bytes have to go before so many fit in. */
  async missing(bytes: number): Promise<number> {
    const free = await this.free();
    const { taken, promised, limit } = this.budget;
    return Math.max(taken + bytes - limit, promised + bytes + this.minFree - free);
  }
}
