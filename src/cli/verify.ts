import type { Damage, Verified } from '../admin/operations.ts';
import { type AskOptions, askDaemon } from './ask-daemon.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { progressPrinter } from './progress.ts';
import { countText, jsonText, sizeText } from './text.ts';
import { write } from './write.ts';

const reasonTexts: Readonly<Record<Damage['reason'], string>> = {
  'wrong-content': 'the content is not what the digest says',
  'wrong-size': 'the size is wrong',
  missing: 'the file is missing',
  unreadable: 'the file cannot be read',
  'set-aside': 'it was set aside earlier, and is not stored again',
};

/** Has the daemon hash all that is stored, and names each digest that is damaged. Damage is a failure, also when repaired. */
export function verify(options: AskOptions & { readonly repair: boolean }, io: Io): Promise<ExitCode> {
  const { repair, json } = options;
  return askDaemon(options, io, async (daemon) => {
    const printer = progressPrinter(io, 'verify');
    const verified = await daemon.verify({ repair }, (made) => printer.update(made)).finally(() => printer.end());
    await write(io.stdout, json ? jsonText(verified) : verifiedText(verified, repair));
    return verified.damaged.length === 0 ? exitCode.done : exitCode.failed;
  });
}

function verifiedText({ blobs, bytes, damaged }: Verified, repair: boolean): string {
  const repaired = damaged.filter((one) => one.repaired).length;
  const all = `verified ${countText(blobs, 'blob')}, ${sizeText(bytes)}`;
  if (damaged.length === 0) return `${all}: nothing is damaged\n`;
  const mayBeFetched = damaged.some((one) => !one.repaired && !one.hosted);
  const hint = mayBeFetched && !repair ? '; entrepot verify --repair fetches again what is damaged' : '';
  return `${damaged.map(damageText).join('')}${all}: ${damaged.length} damaged, ${repaired} of them repaired${hint}\n`;
}

function damageText(damage: Damage): string {
  const { digest, bytes, reason, images } = damage;
  const first = `${digest}  ${sizeText(bytes)}  ${reasonTexts[reason]}${outcomeText(damage)}\n`;
  return first + images.map((image) => `  part of ${image}\n`).join('');
}

function outcomeText({ repaired, hosted }: Damage): string {
  if (repaired) return ', repaired';
  return hosted ? ', hosted here: push it again' : ', not repaired';
}
