import { setTimeout as sleep } from 'node:timers/promises';

interface Schedule {
  /** Milliseconds; asked anew before each wait. */
  readonly every: () => number;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/** Node.js's own bound on a timer: beyond it, it would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/** Does the work again and again, the first time after one interval, never twice at once. Resolves when the signal aborts. */
export async function repeat(work: () => Promise<void>, { every, signal, onError }: Schedule): Promise<void> {
  for (;;) {
    await sleep(Math.min(maxTimerMs, every()), undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await work();
    } catch (error) {
      onError(error);
    }
  }
}
