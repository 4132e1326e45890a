import { setTimeout as sleep } from 'node:timers/promises';
import { NoRoom } from '../mirror/ports.ts';
import { Turns } from '../ops/turns.ts';
import type { Budget } from './budget.ts';
import { isDiskFull } from './files.ts';

/** How many bytes have to go; none when it is not above 0. */
export type Missing = () => Promise<number>;

/** Makes what is missing go where that is possible. False when nothing went that was missing. */
export type MakeRoom = (missing: Missing) => Promise<boolean>;

interface Disk {
  /** Bytes that this user may still write there. Others write there too: it is no promise. */
  readonly free: () => Promise<number>;
  /** Bytes to be left for others. */
  readonly minFree: number;
}

/** Where others fill the disk as fast as room is made. */
const maxTries = 3;
/** Some file systems give deleted bytes back a little later. */
const settleMs = 200;

/** Room for bytes: under the cap, on the disk, and, where there is none, what can be made to go for it. */
export class Room {
  readonly budget: Budget;
  /** Bytes that this user may still write on the disk. */
  readonly free: Disk['free'];
  readonly #turns = new Turns<'all'>();
  minFree: number;
  /** Set once there is somebody who can. */
  makeRoom: MakeRoom = () => Promise.resolve(false);

  constructor(budget: Budget, { free, minFree }: Disk) {
    this.budget = budget;
    this.free = free;
    this.minFree = minFree;
  }

  /** Promises the bytes, as {@link Budget.reserve} does. One after the other, so that nobody takes what was made for another. */
  async take(bytes: number): Promise<boolean> {
    return bytes === 0 || this.#turns.take('all', () => this.#take(bytes));
  }

  async #take(bytes: number): Promise<boolean> {
    if (bytes > this.budget.limit) return false;
    for (let tries = 1; ; tries++) {
      if ((await this.missing(bytes)) <= 0 && this.budget.reserve(bytes)) return true;
      if (tries > maxTries || !(await this.#make(() => this.missing(bytes)))) return false;
      if ((await this.missing(bytes)) > 0) await sleep(settleMs);
    }
  }

  /** A ledger that cannot write on a full disk can let nothing go. */
  async #make(missing: Missing): Promise<boolean> {
    try {
      return await this.makeRoom(missing);
    } catch (error) {
      if (error instanceof NoRoom) return false;
      throw error;
    }
  }

  /**
   * For a write of promised bytes: others may have filled the disk since. Whatever can be made to go goes before the write is
   * given up. Not in the turn of a digest, which what goes may have to take.
   *
   * @throws {NoRoom}
   */
  async relieving<T>(bytes: number, write: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await write();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        const isRelieved = tries < maxTries && (await this.#make(() => Promise.resolve(Math.max(1, bytes))));
        if (!isRelieved) throw new NoRoom('the disk is full', { cause: error });
      }
    }
  }

  /**
   * For bytes that are not counted, as those that are hosted: the disk has room for them beside what it is to leave for others,
   * or can be made to have.
   *
   * @throws {NoRoom}
   */
  async onDisk<T>(bytes: number, write: () => Promise<T>): Promise<T> {
    const missing = () => this.#missingOnDisk(bytes);
    if ((await missing()) > 0 && !(await this.#make(missing)) && (await missing()) > 0) {
      throw new NoRoom('the disk is full, but for what is left for others');
    }
    return this.relieving(bytes, write);
  }

  async #missingOnDisk(bytes: number): Promise<number> {
    return this.budget.promised + bytes + this.minFree - (await this.free());
  }

  /** How many bytes have to go before so many fit in. */
  async missing(bytes: number): Promise<number> {
    const { taken, limit } = this.budget;
    return Math.max(taken + bytes - limit, await this.#missingOnDisk(bytes));
  }
}
