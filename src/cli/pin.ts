import type { Pin } from '../admin/operations.ts';
import { type AskOptions, askDaemon } from './ask-daemon.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { jsonText, table } from './text.ts';
import { write } from './write.ts';

/** Pins what matches the pattern, if there is one, and prints the pins. */
export function pin(options: AskOptions & { readonly pattern: string | undefined }, io: Io): Promise<ExitCode> {
  const { pattern } = options;
  return askDaemon(options, io, async (daemon) => {
    await printPins(pattern === undefined ? await daemon.pins() : await daemon.pin(pattern), options, io);
    return exitCode.done;
  });
}

/** Takes a pin away again, and prints those that are left. */
export function unpin(options: AskOptions & { readonly pattern: string }, io: Io): Promise<ExitCode> {
  return askDaemon(options, io, async (daemon) => {
    await printPins(await daemon.unpin(options.pattern), options, io);
    return exitCode.done;
  });
}

async function printPins(pins: readonly Pin[], { json }: AskOptions, io: Io): Promise<void> {
  if (json) return write(io.stdout, jsonText(pins));
  if (pins.length > 0) {
    return write(io.stdout, table([['PATTERN', 'FROM'], ...pins.map(({ pattern, from }) => [pattern, from])]));
  }
  io.stderr.write('entrepot: nothing is pinned\n');
}
