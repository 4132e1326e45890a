import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './program.ts';
import { Scratch } from './scratch.ts';

const watchEveryMs = 10;

/** A real file system of its own, of so many bytes. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;
  readonly #scratch: Scratch;

  private constructor(scratch: Scratch) {
    this.path = scratch.path;
    this.#scratch = scratch;
  }

  static async create(bytes: number): Promise<SmallDisk> {
    const scratch = await Scratch.create('disk');
    await run({ program: 'mount', args: ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', scratch.path] });
    return new SmallDisk(scratch);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return bavail * bsize;
  }

  /** Somebody else takes the last byte. */
  async fill(): Promise<void> {
    await run({ program: 'sh', args: ['-c', `cat /dev/zero > ${this.#somebodyElses} 2>/dev/null || true`] });
  }

  async makeRoom(): Promise<void> {
    await rm(this.#somebodyElses);
  }

  async makeReadOnly(): Promise<void> {
    await run({ program: 'mount', args: ['-o', 'remount,ro', this.path] });
  }

  get #somebodyElses(): string {
    return join(this.path, 'somebody-elses');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scratch[Symbol.asyncDispose]();
  }
}

/** Looks again and again at how much is free. */
export class FreeSpaceWatch implements AsyncDisposable {
  lowest = Number.POSITIVE_INFINITY;
  samples = 0;
  readonly #disk: SmallDisk;
  readonly #timer: NodeJS.Timeout;
  #sampling = Promise.resolve();

  constructor(disk: SmallDisk) {
    this.#disk = disk;
    this.#timer = setInterval(() => {
      this.#sampling = this.#sampling.then(() => this.#sample());
    }, watchEveryMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#sampling;
  }

  async #sample(): Promise<void> {
    this.samples += 1;
    this.lowest = Math.min(this.lowest, await this.#disk.freeBytes());
  }
}
