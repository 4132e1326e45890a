import cliProgress from 'cli-progress';
import type { Progress } from '../admin/operations.ts';
import { systemClock } from '../ops/clock.ts';
import type { Io } from './io.ts';
import { countText, sizeText } from './text.ts';

/** Between two lines where there is no terminal; what takes less long prints none. */
const lineMs = 5_000;
/** In characters. The line fits a terminal of 80 columns. */
const barWidth = 30;

export interface ProgressPrinter {
  update(progress: Progress): void;
  /** To be called whatever the work came to: takes the bar away. */
  end(): void;
}

/** Shows on standard error how far something has come: a bar on a terminal, a line now and then elsewhere. */
export function progressPrinter({ stderr }: Pick<Io, 'stderr'>, label: string): ProgressPrinter {
  return stderr.isTTY === true ? new Bar(stderr, label) : new Lines(stderr, label);
}

class Bar implements ProgressPrinter {
  readonly #bar: cliProgress.SingleBar;
  readonly #label: string;
  #latest: Progress | undefined;

  constructor(stream: Io['stderr'], label: string) {
    this.#label = label;
    this.#bar = new cliProgress.SingleBar({
      stream,
      barsize: barWidth,
      clearOnComplete: true,
      // It would end the bar without the work.
      gracefulExit: false,
      emptyOnZero: true,
      format: (options, { progress }) => this.#text(cliProgress.Format.BarFormat(progress, options)),
    });
  }

  update(progress: Progress): void {
    const isFirst = this.#latest === undefined;
    this.#latest = progress;
    if (isFirst) this.#bar.start(progress.total, progress.done);
    this.#bar.setTotal(progress.total);
    this.#bar.update(progress.done);
  }

  end(): void {
    this.#bar.stop();
  }

  #text(bar: string): string {
    if (this.#latest === undefined) return this.#label;
    return this.#latest.total === 0
      ? `${this.#label}: ${progressText(this.#latest)}`
      : `${this.#label} [${bar}] ${progressText(this.#latest)}`;
  }
}

class Lines implements ProgressPrinter {
  readonly #stream: Io['stderr'];
  readonly #label: string;
  #saidAt = systemClock.now();

  constructor(stream: Io['stderr'], label: string) {
    this.#stream = stream;
    this.#label = label;
  }

  update(progress: Progress): void {
    const now = systemClock.now();
    if (now - this.#saidAt < lineMs) return;
    this.#saidAt = now;
    this.#stream.write(`${this.#label}: ${progressText(progress)}\n`);
  }

  end(): void {
    // Every line stands for itself.
  }
}

function progressText({ done, total, unit }: Progress): string {
  const amount = (count: number) => (unit === 'bytes' ? sizeText(count) : countText(count, 'blob'));
  if (total === 0) return amount(done);
  return `${Math.floor((done / total) * 100)} %, ${amount(done)} of ${amount(total)}`;
}
