import { type Algorithm, digestOfBytes } from '../support/fake-registry/content.ts';
import { type Descriptor, mediaTypes } from '../support/fake-registry/image.ts';
import type { Answer } from './answer.ts';
import type { Client } from './client.ts';
import { type Document, documentOf, imageOf, layerType, uniqueBytes } from './documents.ts';

let repositories = 0;

/** What one check sees of the target: repositories of its own, raw requests, and the acts of a push that must succeed. */
export class Registry {
  readonly ask: Client['ask'];
  readonly #namespace: string;

  constructor(client: Client, namespace: string) {
    this.ask = client.ask.bind(client);
    this.#namespace = namespace;
  }

  /** Never pushed to before. The names are in order. */
  repository(): string {
    repositories += 1;
    return `${this.#namespace}/r${String(repositories).padStart(5, '0')}`;
  }

  /** Begins an upload; resolves to the path and query of its Location. */
  async begin(repository: string): Promise<string> {
    return (await this.ask('POST', `/v2/${repository}/blobs/uploads/`)).is(202).location();
  }

  /** Pushes with POST and PUT. */
  async blob(repository: string, bytes = uniqueBytes(), algorithm: Algorithm = 'sha256'): Promise<string> {
    const digest = digestOfBytes(bytes, algorithm);
    (await this.finish(await this.begin(repository), digest, bytes)).is(201);
    return digest;
  }

  finish(location: string, digest: string, body: Uint8Array = Buffer.alloc(0), more = {}): Promise<Answer> {
    return this.ask('PUT', withQuery(location, { digest }), { body, headers: { ...octets, ...more } });
  }

  patch(location: string, body: Uint8Array, contentRange?: string): Promise<Answer> {
    const range = contentRange === undefined ? {} : { 'content-range': contentRange };
    return this.ask('PATCH', location, { body, headers: { ...octets, ...range } });
  }

  put(repository: string, reference: string, document: Document, query = ''): Promise<Answer> {
    return this.ask('PUT', `/v2/${repository}/manifests/${reference}${query}`, {
      body: document.bytes,
      headers: { 'content-type': document.mediaType },
    });
  }

  get(repository: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.ask('GET', `/v2/${repository}/${path}`, { headers: { accept: '*/*', ...headers } });
  }

  manifest(repository: string, reference: string): Promise<Answer> {
    return this.get(repository, `manifests/${reference}`, { accept: manifestTypes });
  }

  head(repository: string, path: string): Promise<Answer> {
    return this.ask('HEAD', `/v2/${repository}/${path}`, { headers: { accept: manifestTypes } });
  }

  delete(repository: string, path: string): Promise<Answer> {
    return this.ask('DELETE', `/v2/${repository}/${path}`);
  }

  /** A config and a layer that are there, for manifests of any kind. */
  async parts(repository: string): Promise<{ readonly config: Descriptor; readonly layer: Descriptor }> {
    const config = documentOf(mediaTypes.oci.config, { architecture: 'amd64', os: 'linux', id: uniqueBytes(8) });
    const layer = uniqueBytes();
    await this.blob(repository, config.bytes);
    return {
      config: { mediaType: config.mediaType, digest: config.digest, size: config.bytes.length },
      layer: { mediaType: layerType, digest: await this.blob(repository, layer), size: layer.length },
    };
  }

  /** Pushes an image with its blobs, under each of these tags or by digest. `more` are fields of the manifest. */
  async image(repository: string, tags: readonly string[] = [], more: object = {}): Promise<Document> {
    const { config, layer } = await this.parts(repository);
    const image = imageOf(config, [layer], more);
    for (const reference of tags.length > 0 ? tags : [image.digest])
      (await this.put(repository, reference, image)).is(201);
    return image;
  }
}

export const octets = { 'content-type': 'application/octet-stream' };

const manifestTypes = Object.values(mediaTypes)
  .flatMap(({ manifest, index }) => [manifest, index])
  .join(', ');

/** Adds to whatever query a Location has already. */
export function withQuery(location: string, query: Readonly<Record<string, string>>): string {
  return `${location}${location.includes('?') ? '&' : '?'}${new URLSearchParams(query).toString()}`;
}
