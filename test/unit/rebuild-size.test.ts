import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { expect, test } from 'vitest';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { LedgerFiles, StoreInMemory } from '../support/ledger-files.ts';

const MiB = 1024 * 1024;
const lineCount = 300_000;

/** Nothing in them, so that only the ledger's side is measured. */
class ManyFiles extends StoreInMemory {
  readonly #count: number;

  constructor(count: number) {
    super();
    this.#count = count;
  }

  override async *list(): AsyncIterable<{ digest: Digest; size: number; storedAt: number }> {
    await Promise.resolve();
    for (let count = 0; count < this.#count; count++) yield { digest: digestOfCount(count), size: count, storedAt: 0 };
  }
}

function digestOfCount(count: number): Digest {
  // Spread over the whole range, as hashes are.
  const parsed = parseDigest(
    `sha256:${Math.imul(count, 0x9e3779b1).toString(16).replace('-', 'f').padStart(9, '0')}${count.toString(16).padStart(55, '0')}`,
  );
  if (!parsed.ok) throw new Error(parsed.failure.reason);
  return parsed.value;
}

test('a journal of 300,000 lines is recovered in seconds, and in pieces', { timeout: 120_000 }, async () => {
  await using files = await LedgerFiles.start();
  await files.loseLedger();
  const file = createWriteStream(files.path('journal.ndjson'));
  file.write('{"journal":1}\n');
  for (let count = 0; count < lineCount / 2; count++) {
    const digest = digestOfCount(count);
    const repository = { registry: 'docker.io', name: `library/app${count % 500}` };
    const lines = [
      { is: 'blob', digest, size: count, public: true, storedAt: 1 },
      { is: 'link', repository, digest },
    ];
    if (!file.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');

  const rssBefore = process.memoryUsage().rss;
  let [rssMost, last, longestMs] = [0, performance.now(), 0];
  const onProgress = () => {
    rssMost = Math.max(rssMost, process.memoryUsage().rss);
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  };
  const startedAt = performance.now();
  const recovery = await files.start(new ManyFiles(lineCount / 2), { onProgress });
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(
    `${lineCount} lines in ${seconds.toFixed(1)} s, at most ${longestMs.toFixed(0)} ms at a time, ` +
      `${((rssMost - rssBefore) / MiB).toFixed(0)} MiB more memory`,
  );
  expect(recovery?.recovered).toEqual({ blobs: lineCount / 2, manifests: 0, tags: 0 });
  expect(seconds).toBeLessThan(60);
  expect(rssMost - rssBefore).toBeLessThan(150 * MiB);

  let [pieceMs, from] = [0, performance.now()];
  const pages = files.sqlite.rows.pages();
  while (pages.next().done !== true) {
    pieceMs = Math.max(pieceMs, performance.now() - from);
    from = performance.now();
  }
  console.log(`pages of the rewriting take ${pieceMs.toFixed(1)} ms at most`);
});
