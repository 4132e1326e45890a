import { type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

const sampleEveryMs = 20;

/** What counts against the cap of a data directory. */
const countedFolders = ['blobs', 'partial', 'quarantine'];

/** By what stays the same when a file is renamed; an inode number alone is soon used again. */
type Sizes = ReadonlyMap<string, number>;

/** Of the digests that files are named by: what is hosted does not count. */
export type IsCounted = (digest: string) => boolean;

const everything: IsCounted = () => true;

/** Bytes of the files that count against the cap. */
export function bytesInUse(dataPath: string, isCounted = everything): number {
  return sum(sizesOfFiles(dataPath, isCounted).values());
}

/** Paths of the files in one of the folders of a data directory. */
export function filesIn(dataPath: string, folder: 'blobs' | 'partial' | 'quarantine'): readonly string[] {
  return [...walk(join(dataPath, folder))];
}

/** Looks again and again at how many bytes a data directory has, as somebody beside the daemon sees it. */
export class UsageWatch implements Disposable {
  highest = 0;
  samples = 0;
  readonly #dataPath: string;
  readonly #isCounted: IsCounted;
  readonly #timer: NodeJS.Timeout;

  constructor(dataPath: string, isCounted = everything) {
    this.#dataPath = dataPath;
    this.#isCounted = isCounted;
    this.#timer = setInterval(() => this.#sample(), sampleEveryMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /**
   * Walking takes time, and a file that goes while another comes must not be counted with it. What both of two walks
   * saw was all there at one moment: between them.
   */
  #sample(): void {
    this.samples += 1;
    const first = sizesOfFiles(this.#dataPath, this.#isCounted);
    if (sum(first.values()) <= this.highest) return;
    const second = sizesOfFiles(this.#dataPath, this.#isCounted);
    const both = [...first].map(([file, size]) => Math.min(size, second.get(file) ?? 0));
    this.highest = Math.max(this.highest, sum(both));
  }
}

function sizesOfFiles(dataPath: string, isCounted: IsCounted): Sizes {
  const sizes = new Map<string, number>();
  for (const folder of countedFolders) {
    for (const path of walk(join(dataPath, folder))) {
      if (!isCounted(`sha256:${basename(path).replace('sha256-', '')}`)) continue;
      const found = statSync(path, { throwIfNoEntry: false });
      if (found !== undefined) sizes.set(`${found.ino} ${found.birthtimeMs}`, found.size);
    }
  }
  return sizes;
}

function* walk(folder: string): Generator<string> {
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
