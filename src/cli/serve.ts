import { once } from 'node:events';
import type { Progress } from '../admin/operations.ts';
import { type Service, StartupError, startService } from '../compose.ts';
import type { Config } from '../config/config.ts';
import { type ConfigSource, loadConfig } from '../config/load.ts';
import { createLogger, type Logger } from '../ops/logger.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { tellProblems } from './problems.ts';
import { progressPrinter } from './progress.ts';
import { RunningConfig } from './reload.ts';

/** What a stop may take beyond the grace given to transfers: closing files, the last marks in the ledger. */
const stopMarginMs = 5_000;

/** Runs the mirror until it is asked to stop. */
export async function serve(options: { readonly config: string }, io: Io): Promise<ExitCode> {
  const source: ConfigSource = { file: options.config, env: io.env, isTerminal: io.stdout.isTTY === true };
  const loaded = await loadConfig(source);
  if (!loaded.ok) return tellProblems(loaded.failure, { json: false }, io);
  const log = createLogger(loaded.value.log, io.stdout);
  try {
    return await serveUntilStopped(loaded.value, source, log, io);
  } catch (error) {
    if (error instanceof StartupError) {
      io.stderr.write(`entrepot: ${error.message}\n`);
      return exitCode.misused;
    }
    log.debug({ err: error }, 'failed unexpectedly');
    throw error;
  }
}

async function serveUntilStopped(config: Config, source: ConfigSource, log: Logger, io: Io): Promise<ExitCode> {
  const progress = progressPrinter(io, 'making the ledger anew');
  const onProgress = (done: Progress) => progress.update(done);
  const starting = { log, onProgress, signal: io.stop };
  const service = await startService(config, starting).finally(() => progress.end());
  const upstreams = [...config.upstreams.keys()];
  log.info({ url: service.url, data: config.storage.path, upstreams }, `listening on ${service.url}`);

  const running = new RunningConfig(config, source, service, log);
  io.onReload(() => running.reload());
  await aborted(io.stop);
  return stop(service, running.current.shutdownGrace + stopMarginMs, log);
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

async function stop(service: Service, boundMs: number, log: Logger): Promise<ExitCode> {
  log.info('stopping');
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, boundMs, false);
  });
  try {
    const inTime = await Promise.race([service.stop().then(() => true), late]);
    if (inTime) log.info('stopped');
    else log.error({ boundMs }, 'did not stop in time');
    return inTime ? exitCode.done : exitCode.failed;
  } finally {
    clearTimeout(timer);
  }
}
