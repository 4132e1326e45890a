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

// A reader that goes away, as with `entrepot check | head`, is no reason to fail, and none to stop serving. A full disk under
// what was to be written is.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.once('exit', () => (process.exitCode ||= 1));
  });
}

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  stop: stop.signal,
  onReload: (listener) => process.on('SIGHUP', listener),
});
setTimeout(() => process.exit(), lingerMs).unref();
