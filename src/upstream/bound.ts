/** Why waiting ended before an answer. */
export type Ending = 'deadline' | 'abandoned';

/** What Node's timers can hold; more would end at once. */
const maxTimerMs = 2 ** 31 - 1;

interface BoundOptions {
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * How long, and for whom, something may go on. It ends with its deadline, its asker or {@link Bounds.end}. Once the headers
 * are there it is made `untimed`, so that the deadline does not cut the body.
 */
export class Bound implements Disposable {
  readonly milliseconds: number;
  readonly #endsAt: number;
  readonly #controller = new AbortController();
  readonly #asker: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #onDispose: () => void;
  #kept = false;
  #ending: Ending | undefined;

  constructor({ milliseconds, signal }: BoundOptions, onDispose: () => void) {
    this.milliseconds = Math.min(milliseconds, maxTimerMs);
    this.#endsAt = performance.now() + this.milliseconds;
    this.#asker = signal;
    this.#onDispose = onDispose;
    this.#timer = setTimeout(() => this.#end('deadline', new Error('the deadline has passed')), this.milliseconds);
    signal?.addEventListener('abort', this.#abandon);
    if (signal?.aborted) this.#abandon();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get ending(): Ending | undefined {
    return this.#ending;
  }

  get remainingMs(): number {
    return this.#ending === undefined ? Math.max(0, this.#endsAt - performance.now()) : 0;
  }

  untimed(): void {
    clearTimeout(this.#timer);
  }

  get kept(): boolean {
    return this.#kept;
  }

  /** The body has been handed out: whoever holds it disposes the bound at the body's end. */
  keep(): void {
    this.untimed();
    this.#kept = true;
  }

  abandon(reason: unknown): void {
    this.#end('abandoned', reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#asker?.removeEventListener('abort', this.#abandon);
    this.#onDispose();
  }

  readonly #abandon = (): void => this.abandon(this.#asker?.reason);

  #end(ending: Ending, reason: unknown): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    clearTimeout(this.#timer);
    // A stream can be destroyed with an error only.
    this.#controller.abort(reason instanceof Error ? reason : new Error('whoever asked has left', { cause: reason }));
  }
}

/** All that is under way, so that closing can end it. */
export class Bounds {
  readonly #live = new Set<Bound>();
  #closed: Error | undefined;

  start(options: BoundOptions): Bound {
    const bound = new Bound(options, () => this.#live.delete(bound));
    this.#live.add(bound);
    if (this.#closed !== undefined) bound.abandon(this.#closed);
    return bound;
  }

  end(): void {
    this.#closed ??= new Error('the upstream was closed');
    for (const bound of this.#live) bound.abandon(this.#closed);
  }
}

/** Waits for what others may be waiting for too: the bound ends this wait only. */
export async function waitWithin<T>(promise: Promise<T>, bound: Bound): Promise<T | undefined> {
  const { signal } = bound;
  if (signal.aborted) return undefined;
  let stop = (): void => undefined;
  const ended = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
