import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Listener } from './fake-registry/listener.ts';

export interface HubEntry {
  readonly name: string;
  readonly description?: string | null;
  readonly star_count?: number;
  readonly is_official?: boolean;
  readonly is_automated?: boolean;
}

/** Docker Hub's search: gives `entries` whatever is asked, or does what `instead` says. */
export class HubSearch implements AsyncDisposable {
  entries: readonly HubEntry[];
  instead: RequestListener | undefined;
  /** As they came: path, query and headers. */
  readonly requests: IncomingMessage[] = [];
  #listener: Listener | undefined;

  private constructor(entries: readonly HubEntry[]) {
    this.entries = entries;
  }

  static async start(...entries: readonly HubEntry[]): Promise<HubSearch> {
    const hub = new HubSearch(entries);
    hub.#listener = await Listener.open((request, response) => hub.#answer(request, response));
    return hub;
  }

  get url(): string {
    return `${this.#listener?.url ?? ''}/v1/search`;
  }

  /** What was looked for, in turn. */
  get queries(): readonly (string | null)[] {
    return this.requests.map(({ url = '' }) => new URL(url, this.url).searchParams.get('q'));
  }

  async kill(): Promise<void> {
    await this.#listener?.close();
  }

  async revive(): Promise<void> {
    await this.#listener?.open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(request);
    if (this.instead !== undefined) return this.instead(request, response);
    const rest = { description: '', star_count: 0, is_official: false, is_automated: false };
    const results = this.entries.map((entry) => ({ ...rest, ...entry }));
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ query: '', num_results: results.length, num_pages: 1, page: 1, results }));
  }
}
