import { createHash, type Hash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { type Content, contentOf, digestOfBytes, PIECE_BYTES } from '../../support/fake-registry/content.ts';
import { imageConfig, mediaTypes } from '../../support/fake-registry/image.ts';
import { ask } from './http.ts';

const answerMs = 120_000;

export interface PushedBlob {
  readonly digest: string;
  readonly content: Content;
}

/** An image that is to be pushed, or was. */
export interface PushedImage {
  readonly layers: readonly PushedBlob[];
  readonly config: PushedBlob;
  readonly manifest: { readonly digest: string; readonly bytes: Buffer };
}

/** Two with different marks have nothing in common but the configuration of nothing. */
export function smallPush(mark: string, layerBytes: readonly Buffer[] = [Buffer.from(mark)]): PushedImage {
  const layers = layerBytes.map(blobOf);
  const config = blobOf(Buffer.from(JSON.stringify({ ...imageConfig(), mark })));
  const described = (blob: PushedBlob) => ({ digest: blob.digest, size: blob.content.size });
  const types = mediaTypes.oci;
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, ...described(config) },
      layers: layers.map((layer) => ({ mediaType: types.layer, ...described(layer) })),
    }),
  );
  return { layers, config, manifest: { digest: digestOfBytes(bytes), bytes } };
}

function blobOf(bytes: Buffer): PushedBlob {
  return { digest: digestOfBytes(bytes), content: contentOf(bytes) };
}

interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A status that was not the one to be expected. */
class Refused extends Error {
  override readonly name = 'Refused';
}

/** Pushes over HTTP as clients do, many times at once; rejects with a refusal's own words. */
export class Pusher implements Disposable {
  readonly #at: (path: string) => string;
  readonly #agent = new Agent({ keepAlive: true });

  /** @param at the URL of what lies below the repository, as in `blobs/uploads/` */
  constructor(at: (path: string) => string) {
    this.#at = at;
  }

  /** All of it, the manifest last. */
  async image(image: PushedImage, tag: string): Promise<void> {
    await Promise.all([...image.layers, image.config].map((blob) => this.blob(blob.content)));
    await this.manifest(image, tag);
  }

  /** The same without what is there already. */
  async newParts(image: PushedImage, tag: string): Promise<void> {
    await Promise.all([...image.layers, image.config].map((blob) => this.#unlessThere(blob)));
    await this.manifest(image, tag);
  }

  async #unlessThere({ digest, content }: PushedBlob): Promise<void> {
    const { status } = await ask(this.#at(`blobs/${digest}`), 'HEAD');
    if (status !== 200) await this.blob(content);
  }

  /** Confirmed, when this resolves. */
  async manifest({ manifest }: PushedImage, tag: string): Promise<void> {
    const headers = { 'content-type': mediaTypes.oci.manifest };
    const body = Readable.from([manifest.bytes]);
    await this.#send('PUT', this.#at(`manifests/${tag}`), 201, { headers, body, length: manifest.bytes.length });
  }

  /** As an engine does: a stream of a length that it does not tell. Answers with the digest, known when all of it went. */
  async blob(content: Content): Promise<string> {
    const location = await this.begin();
    const hash = createHash('sha256');
    const body = Readable.from(hashed(pieces(content, 0, content.size), hash));
    const sent = await this.#send('PATCH', location, 202, { body });
    const digest = `sha256:${hash.digest('hex')}`;
    await this.complete(this.#resolve(sent.headers.location), digest);
    return digest;
  }

  /** Answers with the URL of the upload. */
  async begin(): Promise<string> {
    const { headers } = await this.#send('POST', this.#at('blobs/uploads/'), 202, { length: 0 });
    return this.#resolve(headers.location);
  }

  /** One chunk with its place; `end` is the byte behind it. Answers with the URL for the next. */
  async chunk(
    location: string,
    { first, end }: { readonly first: number; readonly end: number },
    bytes: Iterable<Buffer> | AsyncIterable<Buffer>,
  ): Promise<string> {
    const headers = { 'content-range': `${first}-${end - 1}`, 'content-type': 'application/octet-stream' };
    const sent = await this.#send('PATCH', location, 202, { headers, body: Readable.from(bytes), length: end - first });
    return this.#resolve(sent.headers.location);
  }

  /** How many bytes of the upload are there, as its `Range` tells. */
  async standing(location: string): Promise<number> {
    const { headers } = await this.#send('GET', location, 204, {});
    const last = Number(/^0-(\d+)$/.exec(String(headers['range']))?.[1]);
    // Nothing at all is `0-0`, too.
    return last === 0 ? 0 : last + 1;
  }

  async complete(location: string, digest: string): Promise<void> {
    const url = new URL(location);
    url.searchParams.set('digest', digest);
    await this.#send('PUT', url.href, 201, { length: 0 });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #resolve(location: string | undefined): string {
    if (location === undefined) throw new Error('an answer without a Location');
    const here = new URL(this.#at(''));
    const next = new URL(location, here);
    const ns = here.searchParams.get('ns');
    if (ns !== null) next.searchParams.set('ns', ns);
    return next.href;
  }

  async #send(
    method: string,
    url: string,
    expected: number,
    { headers = {}, body, length }: Sending,
  ): Promise<Answered> {
    const signal = AbortSignal.timeout(answerMs);
    const known = length === undefined ? {} : { 'content-length': String(length) };
    const sending = request(url, { method, agent: this.#agent, headers: { ...headers, ...known }, signal });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      sending.once('response', resolve).once('error', reject);
    });
    // Without a body it ends at once.
    const [answer] = await Promise.all([answered, pipeline(body ?? Readable.from([]), sending)]);
    const told = await text(answer);
    const status = answer.statusCode ?? 0;
    if (status !== expected) throw new Refused(`${method} ${url}: status ${status}, ${told}`);
    return { status, headers: answer.headers, body: told };
  }
}

interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readable;
  readonly length?: number;
}

export function* pieces(content: Content, first: number, end: number): Generator<Buffer> {
  for (let start = first; start < end; start += PIECE_BYTES) {
    yield content.read(start, Math.min(start + PIECE_BYTES, end));
  }
}

function* hashed(bytes: Iterable<Buffer>, hash: Hash): Generator<Buffer> {
  for (const piece of bytes) {
    hash.update(piece);
    yield piece;
  }
}
