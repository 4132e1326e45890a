// eslint-disable-next-line no-restricted-imports -- a line is written in the tick of the ledger's own write, or kill -9 parts them
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, unlessMissing } from '../ops/durable-files.ts';
import { type Fact, factLines, parseFact } from './facts.ts';

/** Of the first line; a file with a higher one is left alone. */
const formatVersion = 1;
const header = `${JSON.stringify({ journal: formatVersion })}\n`;

/** More than any fact takes: the longest is a manifest's, with a media type that came in a header of 16 KiB at most. */
const maxLineBytes = 64 * 1024;

const readAtOnceBytes = 256 * 1024;

export function journalPath(dataPath: string): string {
  return join(dataPath, 'journal.ndjson');
}

/** A file of lines that only grows. */
class LineFile {
  readonly #fd: number;
  #bytes: number;
  /** A write has ended within a line. */
  #isTorn: boolean;

  constructor(fd: number, { bytes, isTorn }: { readonly bytes: number; readonly isTorn: boolean }) {
    this.#fd = fd;
    this.#bytes = bytes;
    this.#isTorn = isTorn;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws when not all of it could be written. */
  append(lines: string): void {
    let rest = Buffer.from(this.#isTorn ? `\n${lines}` : lines);
    this.#isTorn = true;
    while (rest.length > 0) {
      const written = writeSync(this.#fd, rest);
      this.#bytes += written;
      rest = rest.subarray(written);
    }
    this.#isTorn = false;
  }

  sync(): void {
    fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * What the ledger holds and blobs/ cannot tell, as lines beside it: a file that no damage to the ledger can take along, and
 * of which damage takes single lines. Lines are not synced: a power loss may cost the newest, as it may in the ledger.
 * There is no journal.ndjson before it is whole: until then, {@link rewriteJournal} writes one under another name.
 */
export class Journal {
  readonly path: string;
  readonly #onTrouble: (error: Error) => void;
  #file: LineFile | undefined;
  /** Of a rewriting under way: what is appended goes there too. */
  #next: LineFile | undefined;
  #isNextWhole = false;
  #isInTrouble = false;
  #hasGap: boolean;

  private constructor(
    path: string,
    {
      file,
      hasGap,
      onTrouble,
    }: { readonly file: LineFile | undefined; readonly hasGap: boolean; readonly onTrouble: (error: Error) => void },
  ) {
    this.path = path;
    this.#file = file;
    this.#hasGap = hasGap;
    this.#onTrouble = onTrouble;
  }

  /**
   * `onTrouble` hears of lines that cannot be written, once until some can be written again. Throws when the file cannot be
   * opened, or was written by a newer version.
   */
  static async open(dataPath: string, onTrouble: (error: Error) => void): Promise<Journal> {
    const path = journalPath(dataPath);
    const found = await look(path);
    if (found === undefined) return new Journal(path, { file: undefined, hasGap: false, onTrouble });
    return new Journal(path, { file: new LineFile(openSync(path, 'a'), found), hasGap: !found.hasHeader, onTrouble });
  }

  /** Of the file; 0 while there is none. */
  get bytes(): number {
    return this.#file?.bytes ?? 0;
  }

  /** Something that the ledger holds may be missing from it. */
  get hasGap(): boolean {
    return this.#hasGap || this.#file === undefined;
  }

  /** Never throws: a pull does not fail because of it. */
  append(facts: readonly Fact[]): void {
    if (facts.length === 0) return;
    const lines = factLines(facts);
    this.#tryAppend(lines);
    try {
      this.#next?.append(lines);
    } catch {
      this.#isNextWhole = false;
    }
  }

  #tryAppend(lines: string): void {
    try {
      this.#file?.append(lines);
      this.#isInTrouble = false;
    } catch (error) {
      this.#hasGap = true;
      if (this.#isInTrouble) return;
      this.#isInTrouble = true;
      this.#onTrouble(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Begins a new file. From now on it gets what is appended, and {@link addToNext} adds what was there before. */
  beginNext(): void {
    this.#next = new LineFile(openSync(nextOf(this.path), 'w', 0o600), { bytes: 0, isTorn: false });
    this.#isNextWhole = true;
    this.#next.append(header);
  }

  /** Throws when it cannot be written. */
  addToNext(facts: readonly Fact[]): void {
    this.#next?.append(factLines(facts));
  }

  /** The new file becomes the journal, durably. Throws when something that was appended is missing from it. */
  async takeNext(): Promise<void> {
    const handle = await open(nextOf(this.path), 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (!this.#isNextWhole) throw new Error('a line could not be written to the new journal');
    await rename(nextOf(this.path), this.path);
    this.#file?.close();
    this.#file = this.#next;
    this.#next = undefined;
    this.#hasGap = !this.#isNextWhole;
    await syncDirectory(dirname(this.path));
  }

  async dropNext(): Promise<void> {
    this.#next?.close();
    this.#next = undefined;
    await rm(nextOf(this.path), { force: true });
  }

  /** After the last append. */
  close(): void {
    try {
      this.#file?.sync();
    } catch {
      // What it holds was never promised to survive a power loss.
    }
    this.#file?.close();
    this.#file = undefined;
  }
}

function nextOf(path: string): string {
  return `${path}.new`;
}

interface Found {
  readonly bytes: number;
  readonly isTorn: boolean;
  readonly hasHeader: boolean;
}

/** Throws for a file of a newer version. */
async function look(path: string): Promise<Found | undefined> {
  const handle = await open(path, 'r').catch(unlessMissing);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    const start = await handle.read(Buffer.alloc(256), 0, 256, 0);
    const [first = ''] = start.buffer.toString('utf8', 0, start.bytesRead).split('\n', 1);
    refuseNewer(first);
    const end = await handle.read(Buffer.alloc(1), 0, 1, Math.max(size - 1, 0));
    return {
      bytes: size,
      isTorn: size > 0 && end.buffer[0] !== 0x0a,
      hasHeader: isHeader(first),
    };
  } finally {
    await handle.close();
  }
}

function versionOf(line: string): number | undefined {
  const version = /^\{"journal":(\d{1,9})[,}]/.exec(line)?.[1];
  return version === undefined ? undefined : Number(version);
}

function isHeader(line: string): boolean {
  return versionOf(line) === formatVersion;
}

function refuseNewer(line: string): void {
  const version = versionOf(line) ?? 0;
  if (version <= formatVersion) return;
  throw new Error(
    `journal.ndjson has format ${version}, this version knows ${formatVersion}: it was written by a newer one`,
  );
}

export interface JournalPiece {
  readonly facts: readonly Fact[];
  /** Lines that are no facts: torn, damaged, or longer than any fact. */
  readonly unreadable: number;
  /** Of the file, read so far. */
  readonly bytes: number;
  /** Of the whole file. */
  readonly total: number;
}

/**
 * What the journal says, in pieces of some hundred kilobytes. Nothing when there is none; ends where the disk cannot be read.
 * Throws when it cannot be opened, or was written by a newer version.
 */
export async function* readJournal(dataPath: string): AsyncGenerator<JournalPiece, void, undefined> {
  const found = await look(journalPath(dataPath));
  if (found === undefined) return;
  const handle = await open(journalPath(dataPath), 'r');
  try {
    const total = found.bytes;
    const lines = new LineReader();
    const buffer = Buffer.allocUnsafe(readAtOnceBytes);
    for (let bytes = 0; ; ) {
      const read = await handle.read(buffer, 0, buffer.length, bytes).catch(unlessUnreadable);
      if (read === undefined) return yield { facts: [], unreadable: 1, bytes, total };
      bytes += read.bytesRead;
      if (read.bytesRead === 0) return yield { ...parsed(lines.end()), bytes, total };
      yield { ...parsed(lines.take(buffer.subarray(0, read.bytesRead))), bytes, total };
    }
  } finally {
    await handle.close();
  }
}

/** A bad sector ends the reading, and is counted. */
function unlessUnreadable(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'EIO') return undefined;
  throw error;
}

function parsed(lines: readonly (string | undefined)[]): Pick<JournalPiece, 'facts' | 'unreadable'> {
  const facts: Fact[] = [];
  let unreadable = 0;
  for (const line of lines) {
    // An append after a torn line begins with an end of line.
    if (line === '') continue;
    const fact = line === undefined ? undefined : parseFact(line);
    if (fact !== undefined) facts.push(fact);
    else if (line === undefined || !isHeader(line)) unreadable++;
  }
  return { facts, unreadable };
}

/** Cuts what is read into lines; undefined stands for one that is too long, of which no more than that is kept. */
class LineReader {
  #rest: Buffer = Buffer.alloc(0);
  #isTooLong = false;

  take(chunk: Buffer): readonly (string | undefined)[] {
    const end = chunk.lastIndexOf(0x0a);
    if (end < 0) {
      this.#keep(chunk);
      return [];
    }
    const whole = Buffer.concat([this.#rest, chunk.subarray(0, end)]).toString('utf8');
    const lines = whole.split('\n').map((line) => (line.length > maxLineBytes ? undefined : line));
    const found = this.#isTooLong ? [undefined, ...lines.slice(1)] : lines;
    this.#rest = Buffer.alloc(0);
    this.#isTooLong = false;
    this.#keep(chunk.subarray(end + 1));
    return found;
  }

  /** What stands behind the last end of line. */
  end(): readonly (string | undefined)[] {
    return [this.#isTooLong ? undefined : this.#rest.toString('utf8')];
  }

  #keep(bytes: Buffer): void {
    this.#isTooLong ||= this.#rest.length + bytes.length > maxLineBytes;
    this.#rest = this.#isTooLong ? Buffer.alloc(0) : Buffer.concat([this.#rest, bytes]);
  }
}
