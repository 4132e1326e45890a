import { expect } from 'vitest';
import { basic } from './access-site.ts';
import type { Daemon } from './daemon.ts';
import { digestOfBytes } from './fake-registry/content.ts';
import { mediaTypes } from './fake-registry/image.ts';

interface Sent {
  readonly body?: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** Of the first error, where the body is one. */
  readonly code: string | undefined;
  readonly message: string | undefined;
}

export interface PushedImage {
  readonly layer: string;
  readonly config: string;
  readonly manifest: string;
  readonly bytes: Buffer;
}

/** Somebody who speaks to a daemon as registry clients do, with the same `Authorization` on everything, or none. */
export class RegistryUser {
  readonly #daemon: Daemon;
  readonly #authorization: string | undefined;

  constructor(daemon: Daemon, authorization?: string) {
    this.#daemon = daemon;
    this.#authorization = authorization;
  }

  static named(daemon: Daemon, user: string, password: string): RegistryUser {
    return new RegistryUser(daemon, basic(user, password));
  }

  async ask(method: string, path: string, { body, headers }: Sent = {}): Promise<Answer> {
    const answer = await this.#daemon.get(path, {
      method,
      redirect: 'manual',
      ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }),
      headers: { ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }), ...headers },
    });
    const text = await answer.text();
    const error = firstError(text);
    return { status: answer.status, headers: answer.headers, body: text, code: error?.code, message: error?.message };
  }

  /** By GET, for all of these scopes together. */
  askToken(...scopes: readonly string[]): Promise<Answer> {
    const query = new URLSearchParams([
      ['service', 'entrepot'],
      ...scopes.map((scope): [string, string] => ['scope', scope]),
    ]);
    return this.ask('GET', `/token?${query.toString()}`);
  }

  async token(...scopes: readonly string[]): Promise<string> {
    return tokenIn(await this.askToken(...scopes));
  }

  /** The same one, with a token in place of what the token was got with. */
  async withToken(...scopes: readonly string[]): Promise<RegistryUser> {
    return new RegistryUser(this.#daemon, `Bearer ${await this.token(...scopes)}`);
  }

  /** In one request; gives the digest. */
  async pushBlob(repository: string, bytes: Buffer): Promise<string> {
    const digest = digestOfBytes(bytes);
    const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
    const answer = await this.ask('POST', path, {
      body: bytes,
      headers: { 'content-type': 'application/octet-stream' },
    });
    expect(answer.status, answer.body).toBe(201);
    return digest;
  }

  putManifest(repository: string, reference: string, bytes: Buffer | string): Promise<Answer> {
    const headers = { 'content-type': mediaTypes.oci.manifest };
    return this.ask('PUT', `/v2/${repository}/manifests/${reference}`, { body: bytes, headers });
  }

  async pushImage(repository: string, tag: string, content: string | Buffer): Promise<PushedImage> {
    const [layerBytes, configBytes] = [Buffer.from(content), Buffer.from('{"architecture":"amd64","os":"linux"}')];
    const layer = await this.pushBlob(repository, layerBytes);
    const config = await this.pushBlob(repository, configBytes);
    const bytes = manifestOf([config, configBytes.length], [layer, layerBytes.length]);
    const answer = await this.putManifest(repository, tag, bytes);
    expect(answer.status, answer.body).toBe(201);
    return { layer, config, manifest: digestOfBytes(bytes), bytes };
  }
}

type Part = readonly [digest: string, size: number];

/** An image's, of one layer. */
export function manifestOf([config, configSize]: Part, [layer, layerSize]: Part): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.oci.manifest,
      config: { mediaType: mediaTypes.oci.config, digest: config, size: configSize },
      layers: [{ mediaType: mediaTypes.oci.layer, digest: layer, size: layerSize }],
    }),
  );
}

export function tokenIn({ status, body }: Pick<Answer, 'status' | 'body'>): string {
  expect(status, body).toBe(200);
  const { token } = JSON.parse(body) as { readonly token: string };
  return token;
}

/** The parameters of the one Bearer challenge that an answer has. */
export function challengeIn({ headers }: { readonly headers: Headers }): Readonly<Record<string, string>> {
  const text = headers.get('www-authenticate') ?? '';
  expect(text).toMatch(/^Bearer (?:[a-z]+="[^"]*")(?:,[a-z]+="[^"]*")*$/);
  return Object.fromEntries(
    [...text.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );
}

function firstError(text: string): { readonly code: string; readonly message: string } | undefined {
  if (!text.startsWith('{"errors":[')) return undefined;
  const { errors } = JSON.parse(text) as {
    readonly errors: readonly { readonly code: string; readonly message: string }[];
  };
  return errors[0];
}
