import { open } from 'node:fs/promises';
import type { Result } from '../oci/result.ts';
import { unlessMissing } from '../ops/durable-files.ts';
import type { Clock } from './clock.ts';
import { limits } from './limits.ts';

export interface WatchedFileOptions<T> {
  readonly path: string;
  /** The failure is a predicate of the file, in words. */
  readonly parse: (content: string) => Result<T, string>;
  /** What a file that is missing or empty means. */
  readonly nothing: T;
  readonly clock: Clock;
  /** One sentence for the operator, once for each trouble. */
  readonly onTrouble: (message: string) => void;
}

/** As long as this is the same, so is the content. */
type Stamp = string;

const missing: Stamp = 'missing';

/**
 * What a file says, read again when it changes. While it cannot be read, or is only half there, the last that was good holds.
 * Some editors empty or remove a file before they write it anew, so that it is nothing is believed only when it is seen twice.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  #current: T;
  #stamp: Stamp = missing;
  #isNothing = true;
  /** Seen as nothing once. */
  #mayBeNothing = false;
  #trouble: string | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
    this.#current = options.nothing;
  }

  get current(): T {
    return this.#current;
  }

  /** It is there, and could not be read yet. */
  get isUnknown(): boolean {
    return this.#isNothing && this.#trouble !== undefined;
  }

  /** Never rejects. At most once a second it costs more than nothing. */
  look(): Promise<void> | undefined {
    const sinceMs = this.#options.clock.now() - this.#lookedAt;
    if (sinceMs >= 0 && sinceMs < limits.fileLookMs) return this.#looking;
    return this.reload();
  }

  /** Looks now. Never rejects. */
  reload(): Promise<void> {
    this.#looking ??= this.#read().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #read(): Promise<void> {
    this.#lookedAt = this.#options.clock.now();
    try {
      const file = await readUnless(this.#options.path, this.#stamp);
      if (file !== undefined) this.#take(file);
      else this.#mayBeNothing = false;
    } catch (error) {
      this.#tell(`cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #take({ stamp, content }: { readonly stamp: Stamp; readonly content: string }): void {
    if (content === '' && !this.#isNothing && !this.#mayBeNothing) {
      this.#mayBeNothing = true;
      // Nobody may ask for a long time.
      setTimeout(() => void this.reload(), limits.fileLookMs).unref();
      return;
    }
    this.#mayBeNothing = false;
    const parsed = this.#options.parse(content);
    if (content !== '' && !parsed.ok) return this.#tell(parsed.failure);
    this.#current = content === '' || !parsed.ok ? this.#options.nothing : parsed.value;
    this.#isNothing = content === '';
    this.#stamp = stamp;
    this.#trouble = undefined;
  }

  #tell(trouble: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble(`${this.#options.path} ${trouble}; what it said before holds`);
  }
}

/** Undefined where the stamp is still the same. What changes while it is read is read again the next time. */
async function readUnless(
  path: string,
  stamp: Stamp,
): Promise<{ readonly stamp: Stamp; readonly content: string } | undefined> {
  const file = await open(path, 'r').catch(unlessMissing);
  if (file === undefined) return stamp === missing ? undefined : { stamp: missing, content: '' };
  try {
    const { ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    const found = [ino, size, mtimeNs, ctimeNs].join(' ');
    if (found === stamp) return undefined;
    if (size > limits.maxFileBytes) throw new Error(`it has more than ${limits.maxFileBytes} bytes`);
    return { stamp: found, content: await file.readFile('utf8') };
  } finally {
    await file.close();
  }
}
