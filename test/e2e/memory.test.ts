import { get, type IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot } from './support/entrepot.ts';
import { Download } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';

showLogsOfFailedTests();

const MiB = 1024 * 1024;
const slowReaders = 50;

/** Takes bytes only when it is told to. */
class SlowReader {
  readonly #response: IncomingMessage;
  readonly #pieces: AsyncIterator<Buffer>;
  #position = 0;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.#pieces = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  static start(url: string): Promise<SlowReader> {
    return new Promise((resolve, reject) => {
      get(url, { agent: false }, (response) => {
        resolve(new SlowReader(response));
      }).once('error', reject);
    });
  }

  /** At least so many bytes more, compared with what they should be. */
  async take(bytes: number, expected: (start: number, end: number) => Buffer): Promise<void> {
    const until = this.#position + bytes;
    while (this.#position < until) {
      const { value } = (await this.#pieces.next()) as IteratorYieldResult<Buffer>;
      const end = this.#position + value.length;
      if (!value.equals(expected(this.#position, end))) throw new Error(`wrong bytes at ${this.#position}`);
      this.#position = end;
    }
  }

  leave(): void {
    this.#response.destroy();
  }
}

test('memory stays flat with 50 slow readers of one 1 GiB blob, while it arrives and when it is cached', async () => {
  await using origin = await FakeRegistry.start({ auth: 'token' });
  const blob = await origin.addGeneratedBlob('library/big', 1024 * MiB, 'slow readers');
  const expected = (start: number, end: number) => Buffer.from(blob.read(start, end));
  await using entrepot = await Entrepot.start({ upstream: origin });
  const url = `${entrepot.url}/v2/library/big/blobs/${blob.digest}`;

  for (const round of ['arriving', 'cached']) {
    const readers = await Promise.all(Array.from({ length: slowReaders }, () => SlowReader.start(url)));
    await Promise.all(readers.map((reader) => reader.take(MiB, expected)));
    expect(await new Download(url).digest).toBe(blob.digest);
    for (const reader of readers) await reader.take(4 * MiB, expected);
    console.log(`${round}: ${Math.round((await entrepot.peakMemory()) / MiB)} MiB resident at the most`);
    expect(await entrepot.peakMemory()).toBeLessThan(250_000_000);
    for (const reader of readers) reader.leave();
  }
  expect(origin.bodyBytes({ kind: 'blob', status: 200 })).toBe(blob.size);
});
