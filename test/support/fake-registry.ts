import type { IncomingMessage, ServerResponse } from 'node:http';
import { Access, type AccessOptions } from './fake-registry/access.ts';
import { Catalogue } from './fake-registry/catalogue.ts';
import { Cdn } from './fake-registry/cdn.ts';
import { deliver } from './fake-registry/delivery.ts';
import { alter, FaultPlan, replacesAnswer } from './fake-registry/faults.ts';
import { Listener } from './fake-registry/listener.ts';
import { answerPull } from './fake-registry/pull-api.ts';
import { PullLimit, type PullLimitOptions } from './fake-registry/pull-limit.ts';
import { failure, type Reply, reply, withRange } from './fake-registry/reply.ts';
import {
  type Arrival,
  type Place,
  type RecordedRequest,
  type RequestFilter,
  RequestLog,
} from './fake-registry/requests.ts';
import { routeOf } from './fake-registry/route.ts';

export type { AddedImage } from './fake-registry/catalogue.ts';
export { abuseLimitReached, type Fault, pullLimitReached } from './fake-registry/faults.ts';
export { Gate } from './fake-registry/gate.ts';
export type {} from './fake-registry/image.ts';
export { mediaTypes } from './fake-registry/image.ts';
export { silentServer, unusedPort } from './fake-registry/listener.ts';
export type { RecordedRequest, RequestFilter } from './fake-registry/requests.ts';

export interface FakeRegistryOptions extends AccessOptions {
  /** Blobs answer 307 to a second origin, which refuses any Authorization header. */
  readonly cdn?: boolean;
  /** The token endpoint gets a port of its own, as auth.docker.io has a host of its own. */
  readonly separateTokenServer?: boolean;
  /** Announced in challenges in place of the token endpoint's real address. */
  readonly realm?: string;
  /** Default: any free one. */
  readonly port?: number;
  readonly rateLimit?: PullLimitOptions;
}

/**
 * A registry to pull from that keeps a record of everything it is asked, and fails in any way a test asks for.
 * It is its catalogue, served: content can be added and changed at any time.
 */
export class FakeRegistry extends Catalogue implements AsyncDisposable {
  readonly faults = new FaultPlan();
  readonly #log = new RequestLog();
  readonly #listeners = new Map<Place, Listener>();
  readonly #access: Access;
  readonly #cdn = new Cdn(this);
  #pullLimit: PullLimit | undefined;

  private constructor(options: FakeRegistryOptions) {
    super();
    this.#access = new Access(options, () => options.realm ?? `${this.#urlOf('token') ?? this.url}/token`);
    this.setRateLimit(options.rateLimit);
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const registry = new FakeRegistry(options);
    await registry.#listen('registry', options.port);
    if (options.cdn) await registry.#listen('cdn');
    if (options.separateTokenServer) await registry.#listen('token');
    return registry;
  }

  get url(): string {
    return this.#urlOf('registry') ?? '';
  }

  get port(): number {
    return this.#listeners.get('registry')?.port ?? 0;
  }

  /** In the order of arrival. Entries are live: status, bytes and outcome follow the answer. */
  get requests(): readonly RecordedRequest[] {
    return this.#log.find();
  }

  count(filter: RequestFilter = {}): number {
    return this.#log.find(filter).length;
  }

  bodyBytes(filter: RequestFilter = {}): number {
    return this.#log.find(filter).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  }

  resetCounters(): void {
    this.#log.reset();
  }

  /** Resolves with the matching requests as soon as there are that many, counted since the last reset. */
  waitFor(filter: RequestFilter, count = 1): Promise<readonly RecordedRequest[]> {
    return this.#log.waitFor(filter, count);
  }

  /** From now on every token that was issued is answered 401 `invalid_token`. */
  expireTokens(): void {
    this.#access.expireTokens();
  }

  /** From now on every redirect to the CDN that was handed out is answered 403. */
  expireCdnUrls(): void {
    this.#cdn.expireUrls();
  }

  setRateLimit(rateLimit: PullLimitOptions | undefined): void {
    this.#pullLimit = rateLimit && new PullLimit(rateLimit);
  }

  /** Undefined for a registry without a limit. */
  get pullsRemaining(): number | undefined {
    return this.#pullLimit?.remaining;
  }

  /** Closes every connection; from now on connecting is refused, until `revive`. */
  async kill(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.close()));
  }

  /** Listens again, at the same addresses. */
  async revive(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.open()));
  }

  /** Ends all answers, the hanging ones too; who waits for a request that will never arrive gets an error. */
  async stop(): Promise<void> {
    await this.kill();
    this.#log.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #listen(place: Place, port?: number): Promise<void> {
    this.#listeners.set(
      place,
      await Listener.open((request, response) => void this.#serve(place, request, response), port),
    );
  }

  async #serve(place: Place, request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const exchange = this.#log.arrived(this.#describe(place, request));
    const site = {
      ownUrl: `${this.#urlOf(place) ?? ''}${request.url ?? '/'}`,
      challenge: this.#access.challenge(exchange),
    };
    const faults = this.faults.strike(exchange);
    const answer = faults.some(replacesAnswer) ? reply(200) : this.#answer(exchange);
    const altered = faults.reduce((before, fault) => alter(before, fault, site), answer);
    await deliver(exchange.method === 'GET' ? withRange(altered, exchange.range) : altered, response, exchange);
  }

  #describe(at: Place, { method = 'GET', url = '/', headers }: IncomingMessage): Arrival {
    const { pathname: path, searchParams: query } = new URL(this.url + url);
    return {
      at,
      ...routeOf(at, path),
      ...this.#access.identify(headers.authorization),
      method,
      path,
      query,
      range: headers.range,
      accept: headers.accept,
      acceptEncoding: headers['accept-encoding']?.toString(),
      headers,
    };
  }

  #answer(request: Arrival): Reply {
    if (request.kind === 'token') return this.#access.issueToken(request);
    if (request.at === 'cdn') return this.#cdn.answer(request);
    if (request.at === 'token') return failure(404, 'UNSUPPORTED', 'no such endpoint');
    const answer = this.#access.refusal(request) ?? answerPull(request, this.#pullSetup);
    return { ...answer, headers: { 'docker-distribution-api-version': 'registry/2.0', ...answer.headers } };
  }

  readonly #pullSetup = {
    catalogue: this,
    pullLimit: () => this.#pullLimit,
    blobLocation: (method: string, digest: string) => {
      const cdn = this.#urlOf('cdn');
      return cdn && cdn + this.#cdn.signedPath(method, digest);
    },
  };

  #urlOf(place: Place): string | undefined {
    return this.#listeners.get(place)?.url;
  }
}
