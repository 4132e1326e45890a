import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ImageListing, Status } from '../../../src/admin/operations.ts';

const answerMs = 10_000;

/** Asks as the commands do, without the time that it takes to start a program: for what is asked again and again. */
export class AdminSocket {
  readonly #path: string;

  constructor(dataPath: string) {
    this.#path = join(dataPath, 'entrepot.sock');
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.#get('/status')) as Status;
  }

  async images(): Promise<readonly ImageListing[]> {
    const lines = (await this.#get('/images')).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ImageListing);
  }

  async #get(path: string): Promise<string> {
    const signal = AbortSignal.timeout(answerMs);
    return await new Promise<string>((resolve, reject) => {
      const asked = request({ socketPath: this.#path, path: `/api/v1${path}`, agent: false, signal });
      asked.once('response', (response) => {
        text(response).then((body) => {
          if (response.statusCode === 200) resolve(body);
          else reject(new Error(`${path}: status ${String(response.statusCode)}, ${body}`));
        }, reject);
      });
      asked.on('error', reject);
      asked.end();
    });
  }
}
