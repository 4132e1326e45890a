const phases = { stop: [] as (() => void)[], remove: [] as (() => void)[] };
let ended = false;

/** For a run that ends before its tests have cleaned up: first programs are stopped, then what they used is removed. */
export function atEndOfRun(phase: keyof typeof phases, task: () => void): void {
  phases[phase].push(task);
}

function end(): void {
  if (ended) return;
  ended = true;
  for (const task of [...phases.stop, ...phases.remove]) task();
}

process.once('exit', end);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    end();
    // The test runner replaces process.exit, so this process ends by a signal, as whoever sent the first one wanted.
    process.kill(process.pid, 'SIGKILL');
  });
}
