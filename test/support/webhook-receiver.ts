import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

const envelope = z.strictObject({
  events: z.array(
    z.looseObject({ id: z.string(), action: z.string(), target: z.looseObject({ tag: z.string().optional() }) }),
  ),
});

type ReceivedEvent = z.output<typeof envelope>['events'][number];

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly events: readonly ReceivedEvent[];
}

/** How one request is answered. */
export type Answering = (response: ServerResponse) => void;

export const accepted: Answering = (response) => response.writeHead(202).end();

/** A real HTTP server that takes events. Its answers are given by a script, and 202 after it. */
export class WebhookReceiver implements AsyncDisposable {
  readonly requests: Received[] = [];
  readonly #server = createServer();
  readonly #arrivals = new EventEmitter();
  readonly #script: Answering[];

  private constructor(script: readonly Answering[]) {
    this.#script = [...script];
    this.#server.on('request', ((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        const { events } = envelope.parse(JSON.parse(body));
        this.requests.push({ path: request.url ?? '', headers: request.headers, events });
        (this.#script.shift() ?? accepted)(response);
        this.#arrivals.emit('request');
      });
    }) satisfies RequestListener);
  }

  /** On a free port, or on one that was used before. */
  static async start(script: readonly Answering[] = [], port = 0): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(script);
    receiver.#server.listen(port, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Of all requests, in the order of their arrival. */
  get tags(): readonly (string | undefined)[] {
    return this.requests.flatMap(({ events }) => events.map(({ target }) => target.tag));
  }

  /** Resolves when the requests are such as they should be. */
  async until(isSo: (requests: readonly Received[]) => boolean): Promise<void> {
    while (!isSo(this.requests)) await once(this.#arrivals, 'request');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
