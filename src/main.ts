#!/usr/bin/env node
import { run } from './cli/run.ts';

/** Whatever a finished command has left open may not keep the process alive for longer. */
const lingerMs = 1_000;

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort();
  });
}

// A reader that goes away, as with `entrepot check | head`, is no reason to fail, and none to stop serving.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

process.exitCode = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  stop: stop.signal,
  onReload: (listener) => process.on('SIGHUP', listener),
});
setTimeout(() => process.exit(), lingerMs).unref();
