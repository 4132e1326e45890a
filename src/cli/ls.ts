import type { ImageListing } from '../admin/operations.ts';
import { parseImagePattern } from '../oci/image-pattern.ts';
import { parseRepositoryName } from '../oci/repository-name.ts';
import { ok, type Result } from '../oci/result.ts';
import { systemClock } from '../ops/clock.ts';
import type { AdminClient } from './admin-client.ts';
import { type AskOptions, askDaemon } from './ask-daemon.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { ageText, shortDigest, sizeText, table } from './text.ts';
import { write } from './write.ts';

/** JSON goes out in pieces of so many characters. */
const pieceLength = 16 * 1024;

type Filter = (image: ImageListing) => boolean;

/** Prints the stored images, or those whose name matches. */
export function ls(options: AskOptions & { readonly pattern: string | undefined }, io: Io): Promise<ExitCode> {
  const filter = filterOf(options.pattern);
  if (!filter.ok) {
    io.stderr.write(`entrepot: ${JSON.stringify(options.pattern)} is no pattern: ${filter.failure.reason}\n`);
    return Promise.resolve(exitCode.misused);
  }
  return askDaemon(options, io, async (daemon) => {
    const images = matching(daemon, filter.value);
    if (options.json) await writeJson(images, io);
    else await writeTable(images, options.pattern, io);
    return exitCode.done;
  });
}

async function* matching(daemon: AdminClient, filter: Filter): AsyncGenerator<ImageListing> {
  for await (const image of daemon.images()) if (filter(image)) yield image;
}

/** As images are pinned, except that a pattern without a registry holds in every one. */
function filterOf(text: string | undefined): Result<Filter, { readonly reason: string }> {
  if (text === undefined) return ok(() => true);
  const pattern = parseImagePattern(text);
  if (!pattern.ok) return pattern;
  return ok(({ repository, tag, hosted }) => {
    const slash = hosted ? -1 : repository.indexOf('/');
    const registry = repository.slice(0, Math.max(0, slash));
    const name = parseRepositoryName(repository.slice(slash + 1));
    return name.ok && pattern.value.matches({ registry, name: name.value }, tag ?? undefined, registry);
  });
}

/** One array, however long, without ever holding it whole. A daemon that ends early leaves it open: no JSON at all. */
async function writeJson(images: AsyncIterable<ImageListing>, io: Io): Promise<void> {
  let piece = '[';
  let separator = '\n';
  for await (const image of images) {
    piece += `${separator}${JSON.stringify(image)}`;
    separator = ',\n';
    if (piece.length < pieceLength) continue;
    await write(io.stdout, piece);
    piece = '';
  }
  await write(io.stdout, `${piece}\n]\n`);
}

async function writeTable(images: AsyncIterable<ImageListing>, pattern: string | undefined, io: Io): Promise<void> {
  const rows: string[][] = [];
  const now = systemClock.now();
  for await (const image of images) rows.push(rowOf(image, now));
  if (rows.length > 0) {
    await write(io.stdout, table([['REPOSITORY', 'TAG', 'DIGEST', 'SIZE', 'COMPLETE', 'USED', 'PINNED'], ...rows]));
    return;
  }
  const nothing =
    pattern === undefined
      ? 'no image is stored yet'
      : `no stored image matches ${JSON.stringify(pattern)} (a pattern holds for the whole name, as "**/alpine" or "library/*")`;
  io.stderr.write(`entrepot: ${nothing}\n`);
}

function rowOf({ repository, tag, digest, bytes, complete, platforms, usedAt, pinned }: ImageListing, now: number) {
  return [
    repository,
    tag ?? '-',
    shortDigest(digest),
    sizeText(bytes),
    complete ? 'yes' : platforms.join(',') || 'no',
    `${ageText(usedAt, now)} ago`,
    pinned ? 'yes' : '',
  ];
}
