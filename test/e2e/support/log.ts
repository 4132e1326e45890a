import { afterEach, beforeEach } from 'vitest';

const maxLogBytes = 256 * 1024;
const shownLogBytes = 4 * 1024;

/** The last part of what one process wrote, never more than a fixed number of bytes. */
export class BoundedLog {
  readonly name: string;
  readonly #pieces: string[] = [];
  #size = 0;

  constructor(name: string) {
    this.name = name;
    logs.add(this);
  }

  add(text: string): void {
    this.#pieces.push(text);
    this.#size += text.length;
    while (this.#size > maxLogBytes && this.#pieces.length > 1) {
      this.#size -= this.#pieces.shift()?.length ?? 0;
    }
  }

  get text(): string {
    return this.#pieces.join('');
  }

  get tail(): string {
    return this.text.slice(-shownLogBytes).trimEnd();
  }

  /** Taken out of what a failing test shows. */
  forget(): void {
    logs.delete(this);
  }
}

// Invariant: a log outlives its process until the test that ended it was judged, or a failure would have nothing to show.
const logs = new Set<BoundedLog>();
const ended = new Set<BoundedLog>();

/** A process has ended: its log is kept for the test that is running now, and no longer. */
export function keepForThisTest(log: BoundedLog): void {
  ended.add(log);
}

/** To be called once at the top of a test file. */
export function showLogsOfFailedTests(): void {
  beforeEach(() => {
    for (const log of ended) log.forget();
    ended.clear();
  });
  afterEach(({ task }) => {
    if (task.result?.state !== 'fail') return;
    for (const log of logs) console.error(`---- ${log.name}\n${log.tail}`);
  });
}
