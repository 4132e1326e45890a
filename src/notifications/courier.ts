import { setImmediate as nextTurn } from 'node:timers/promises';
import type { systemClock } from '../ops/clock.ts';
import type { Logger } from '../ops/logger.ts';
import type { Limits } from './limits.ts';
import type { Losses } from './losses.ts';
import type { Queue } from './queue.ts';
import type { Receiver } from './receiver.ts';

export interface CourierOptions {
  readonly queue: Queue;
  readonly losses: Losses;
  readonly clock: typeof systemClock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly limits: Limits;
  readonly log: Logger;
}

/** Carries what is in a queue to its receiver: in order, one request at a time, each until it succeeds. */
export class Courier {
  readonly #options: CourierOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #receiver: Receiver;
  /** Ends the wait for an event. */
  #wake: () => void = () => undefined;
  /** Ends the wait between two attempts. */
  #pause = new AbortController();
  #failures = 0;

  constructor(receiver: Receiver, options: CourierOptions) {
    this.#receiver = receiver;
    this.#options = options;
    this.#running = this.#run().catch((error: unknown) =>
      options.log.error({ err: error }, 'sending notifications has ended unexpectedly'),
    );
  }

  /** Something has been put into the queue. */
  wake(): void {
    this.#wake();
  }

  /** What has failed is tried with the new one at once. */
  replaceReceiver(receiver: Receiver): void {
    const before = this.#receiver;
    this.#receiver = receiver;
    this.#failures = 0;
    this.#pause.abort();
    // A request under way fails, and goes to the new one.
    before.close().catch((error: unknown) => this.#options.log.warn({ err: error }, 'a connection did not close'));
  }

  /** A request under way is given up; its events stay in the queue and are sent again. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#pause.abort();
    this.#wake();
    await this.#running;
    await this.#receiver.close();
  }

  async #run(): Promise<void> {
    const { queue, clock } = this.#options;
    // Not within the constructor: nobody's request pays for the first attempt.
    await nextTurn();
    while (!this.#isClosing()) {
      const batch = queue.take(clock.now());
      if (batch.length > 0) await this.#deliver(batch);
      else if (queue.isEmpty) await this.#nextEvent();
      // A segment full of what was too old has been dropped: others have their turn before the next.
      else await nextTurn();
    }
  }

  async #deliver(batch: ReturnType<Queue['take']>): Promise<void> {
    const { queue, losses, log } = this.#options;
    const receiver = this.#receiver;
    const outcome = await receiver.deliver(
      batch.map(({ text }) => text),
      this.#closing.signal,
    );
    if (outcome.ok) {
      queue.done(batch);
      losses.settle();
      if (this.#failures > 0) log.info({ attempts: this.#failures + 1 }, 'notifications are delivered again');
      this.#failures = 0;
      return;
    }
    if (this.#isClosing() || receiver !== this.#receiver) return;
    if (this.#failures === 0)
      log.warn(outcome.failure, 'notifications cannot be delivered; they are kept and tried again');
    this.#failures++;
    await this.#backOff();
  }

  async #backOff(): Promise<void> {
    const { clock, random, limits } = this.#options;
    const longest = Math.min(limits.maxBackoffMs, limits.backoffMs * 2 ** (this.#failures - 1));
    this.#pause = new AbortController();
    // Half of it is jitter, so that those who failed together do not come back together.
    await clock.sleep(longest * (0.5 + random() / 2), this.#pause.signal);
  }

  async #nextEvent(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }
}
