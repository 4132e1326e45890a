import type { Collected } from '../admin/operations.ts';
import { type AskOptions, askDaemon } from './ask-daemon.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { progressPrinter } from './progress.ts';
import { countText, jsonText, sizeText, table } from './text.ts';
import { write } from './write.ts';

const kindTexts = {
  blob: 'blob',
  partial: 'partial file',
  quarantined: 'quarantined file',
  'hosted blob': 'hosted blob',
  'hosted tag': 'hosted tag',
  'hosted manifest': 'hosted manifest',
} as const;

/** Has the daemon remove what serves nobody, and prints what that was. */
export function gc(options: AskOptions & { readonly dryRun: boolean }, io: Io): Promise<ExitCode> {
  const { dryRun, json } = options;
  return askDaemon(options, io, async (daemon) => {
    const printer = progressPrinter(io, 'gc');
    const collected = await daemon
      .collectGarbage({ dryRun }, (made) => printer.update(made))
      .finally(() => printer.end());
    await write(io.stdout, json ? jsonText(collected) : collectedText(collected));
    return exitCode.done;
  });
}

function collectedText({ dryRun, removed, bytes }: Collected): string {
  if (removed.length === 0) return 'there is nothing to remove\n';
  const rows = removed.map(({ kind, digest, bytes: size, name }) => [kindTexts[kind], name ?? digest, sizeText(size)]);
  const what = Object.entries(kindTexts).flatMap(([kind, noun]) => {
    const count = removed.filter((one) => one.kind === kind).length;
    return count === 0 ? [] : [countText(count, noun)];
  });
  return `${table(rows)}${dryRun ? 'would remove' : 'removed'} ${what.join(', ')}: ${sizeText(bytes)}\n`;
}
