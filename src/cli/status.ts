import type { Status } from '../admin/operations.ts';
import { systemClock } from '../ops/clock.ts';
import { type AskOptions, askDaemon } from './ask-daemon.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { ageText, countText, jsonText, sizeText, table } from './text.ts';
import { write } from './write.ts';

/** Prints what the daemon holds, and what an operator should know about it. */
export function status(options: AskOptions, io: Io): Promise<ExitCode> {
  return askDaemon(options, io, async (daemon) => {
    const now = await daemon.status();
    await write(io.stdout, options.json ? jsonText(now) : statusText(now, systemClock.now()));
    return exitCode.done;
  });
}

/** @param now milliseconds since 1970 */
function statusText(status: Status, now: number): string {
  const { version, url, startedAt, cache, hosted, disk, fillsInFlight } = status;
  const share = cache.limit === 0 ? '' : ` (${Math.floor((cache.bytes / cache.limit) * 100)} %)`;
  const facts = table([
    ['version', version],
    ['listening', url],
    ['running', `for ${ageText(startedAt, now)}, since ${startedAt}`],
    ['cache', `${sizeText(cache.bytes)} of ${sizeText(cache.limit)}${share}, ${countText(cache.blobs, 'blob')}`],
    ['hosted', `${sizeText(hosted.bytes)}, ${countText(hosted.blobs, 'blob')}`],
    ['pinned', sizeText(cache.pinnedBytes)],
    ['disk', `${sizeText(disk.freeBytes)} free, ${sizeText(disk.minFree)} to be left free`],
    ['fills', `${fillsInFlight} under way`],
  ]);
  const warnings = warningsOf(status);
  return warnings.length === 0 ? facts : `${facts}\n${warnings.map((text) => `warning: ${text}\n`).join('')}`;
}

function warningsOf({ cache, reconciled, recovery }: Status): readonly string[] {
  const warnings: string[] = [];
  if (recovery !== null) {
    const { blobs, manifests, tags } = recovery.recovered;
    const back = `${countText(blobs, 'blob')}, ${countText(manifests, 'manifest')} and ${countText(tags, 'tag')}`;
    const aside = recovery.setAside === null ? '' : `; the damaged one is kept as ${recovery.setAside}`;
    warnings.push(`the ledger was recovered at ${recovery.at}: ${recovery.reason}; ${back} were found again${aside}`);
    warnings.push(...recovery.lost.map((loss) => `not recovered: ${loss}`));
  }
  if (cache.pinnedBytes > cache.limit) {
    const sizes = `${sizeText(cache.pinnedBytes)}, and storage.maxSize is ${sizeText(cache.limit)}`;
    warnings.push(`pinned images take ${sizes}: nothing else can be kept; unpin some, or raise storage.maxSize`);
  }
  if (!reconciled) warnings.push('store and ledger are still being compared after a stop that was not clean');
  return warnings;
}
