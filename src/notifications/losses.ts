import type { Logger } from '../ops/logger.ts';
import type { Loss } from './queue.ts';

const reasons: Readonly<Record<Loss, string>> = {
  'queue full': 'the queue is full: notifications are dropped, pulls first, then the oldest',
  'too old': 'notifications that could not be delivered for too long are dropped',
  damaged: 'damaged lines in the queue of notifications are left out',
  'not written': 'notifications could not be written to their queue and are lost',
};

/** Tells the first loss of each kind, and their number when the endpoint takes notifications again. */
export class Losses {
  readonly #log: Logger;
  readonly #counts = new Map<Loss, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  add(loss: Loss, events: number): void {
    if (events === 0) return;
    const before = this.#counts.get(loss);
    this.#counts.set(loss, (before ?? 0) + events);
    if (before === undefined) this.#log.warn({ events }, reasons[loss]);
  }

  /** The next loss of each kind is told again. */
  settle(): void {
    if (this.#counts.size === 0) return;
    this.#log.warn({ lost: Object.fromEntries(this.#counts) }, 'notifications that were never delivered, in all');
    this.#counts.clear();
  }
}
