const tasks: (() => void)[] = [];
let ended = false;

/** Called when the run ends before its tests have cleaned up after themselves; the first task given runs first. */
export function atEndOfRun(task: () => void): void {
  tasks.push(task);
}

function end(): void {
  if (ended) return;
  ended = true;
  for (const task of tasks) task();
}

process.once('exit', end);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    end();
    // The test runner replaces process.exit, so this process ends by a signal, as whoever sent the first one wanted.
    process.kill(process.pid, 'SIGKILL');
  });
}
