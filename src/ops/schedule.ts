import { setTimeout as sleep } from 'node:timers/promises';

interface Schedule {
  /** Milliseconds; asked anew before each wait. */
  readonly every: () => number;
  /** The first time without waiting. */
  readonly atOnce?: boolean;
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
}

/** Node.js's own bound on a timer: beyond it, it would fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/** Does the work again and again, never twice at the same time. Resolves when the signal aborts. */
export async function repeat(work: () => Promise<void>, { every, atOnce, signal, onError }: Schedule): Promise<void> {
  for (let isFirst = true; ; isFirst = false) {
    const waitMs = isFirst && atOnce === true ? 0 : Math.min(maxTimerMs, every());
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    await work().catch(onError);
  }
}
