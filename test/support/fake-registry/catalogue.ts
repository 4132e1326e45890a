import { type Algorithm, type Content, contentOf, digestOf, digestOfBytes, generatedContent } from './content.ts';
import {
  type BlobDescriptor,
  type Descriptor,
  describeLayer,
  type ImageFormat,
  imageConfig,
  mediaTypes,
  type Platform,
} from './image.ts';

interface StoredManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

interface Repository {
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, string>;
  readonly blobs: Map<string, Content>;
}

type Tags = string | readonly string[] | undefined;

export interface ManifestOptions {
  /** Default: the `mediaType` field of a manifest that is given as an object. */
  readonly mediaType?: string;
  readonly tags?: Tags;
  readonly algorithm?: Algorithm;
}

export interface ImageParts {
  /** Bytes are added to the repository; a descriptor names a blob that is there already (a generated one). */
  readonly layers: readonly (Buffer | BlobDescriptor)[];
  readonly platform?: Platform;
  readonly config?: object;
  readonly format?: ImageFormat;
}

export interface AddedImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** The manifest as it is served. */
  readonly bytes: Buffer;
}

export interface IndexEntry {
  readonly platform: Platform;
  readonly image: AddedImage;
}

export type GeneratedBlob = BlobDescriptor & Content;

/**
 * What a registry holds. Invariant: a blob is found only in the repositories it was added or linked to, as in a real
 * registry, where knowing a digest opens nothing.
 */
export class Catalogue {
  readonly #repositories = new Map<string, Repository>();

  addBlob(repository: string, bytes: Uint8Array | string, algorithm: Algorithm = 'sha256'): BlobDescriptor {
    const buffer = Buffer.from(bytes);
    const digest = digestOfBytes(buffer, algorithm);
    this.#open(repository).blobs.set(digest, contentOf(buffer));
    return { digest, size: buffer.length };
  }

  /** A blob of any size that takes no memory: its bytes are a function of the seed. */
  async addGeneratedBlob(repository: string, size: number, seed: number | string): Promise<GeneratedBlob> {
    const content = generatedContent(size, seed);
    const digest = await digestOf(content);
    this.#open(repository).blobs.set(digest, content);
    return { ...content, digest };
  }

  linkBlob(repository: string, digest: string): void {
    const content = this.findBlobAnywhere(digest);
    if (content === undefined) throw new Error(`no repository holds the blob ${digest}`);
    this.#open(repository).blobs.set(digest, content);
  }

  removeBlob(repository: string, digest: string): void {
    this.#open(repository).blobs.delete(digest);
  }

  addManifest(repository: string, manifest: object, options: ManifestOptions = {}): Descriptor {
    const bytes = Buffer.isBuffer(manifest) ? manifest : Buffer.from(JSON.stringify(manifest));
    const mediaType = options.mediaType ?? ('mediaType' in manifest ? String(manifest.mediaType) : undefined);
    if (mediaType === undefined) throw new Error('a manifest needs a media type');
    const digest = digestOfBytes(bytes, options.algorithm);
    this.#open(repository).manifests.set(digest, { digest, mediaType, bytes });
    for (const tag of [options.tags ?? []].flat()) this.setTag(repository, tag, digest);
    return { mediaType, digest, size: bytes.length };
  }

  removeManifest(repository: string, digest: string): void {
    const { manifests, tags } = this.#open(repository);
    manifests.delete(digest);
    for (const [tag, tagged] of tags) if (tagged === digest) tags.delete(tag);
  }

  addImage(repository: string, tags: Tags, parts: ImageParts): AddedImage {
    const types = mediaTypes[parts.format ?? 'oci'];
    const described = parts.layers.map((layer) => {
      if (Buffer.isBuffer(layer)) this.addBlob(repository, layer);
      return describeLayer(layer, types);
    });
    const layers = described.map(({ descriptor }) => descriptor);
    const configBytes = JSON.stringify(
      parts.config ??
        imageConfig(
          parts.platform,
          described.map(({ diffId }) => diffId),
        ),
    );
    const config = { mediaType: types.config, ...this.addBlob(repository, configBytes) };
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config, layers }));
    const manifest = this.addManifest(repository, bytes, { mediaType: types.manifest, tags });
    return { manifest, config, layers, bytes };
  }

  addIndex(repository: string, tags: Tags, entries: readonly IndexEntry[], format: ImageFormat = 'oci'): Descriptor {
    const manifests = entries.map(({ platform, image }) => ({ ...image.manifest, platform }));
    return this.addManifest(repository, { schemaVersion: 2, mediaType: mediaTypes[format].index, manifests }, { tags });
  }

  setTag(repository: string, tag: string, digest: string): void {
    const { manifests, tags } = this.#open(repository);
    if (!manifests.has(digest)) throw new Error(`${repository} holds no manifest ${digest}`);
    tags.set(tag, digest);
  }

  removeTag(repository: string, tag: string): void {
    this.#open(repository).tags.delete(tag);
  }

  findManifest(repository: string, reference: string): StoredManifest | undefined {
    const held = this.#repositories.get(repository);
    return held?.manifests.get(held.tags.get(reference) ?? reference);
  }

  findBlob(repository: string, digest: string): Content | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  findBlobAnywhere(digest: string): Content | undefined {
    for (const { blobs } of this.#repositories.values()) {
      const content = blobs.get(digest);
      if (content !== undefined) return content;
    }
    return undefined;
  }

  /** Sorted, as the specification asks; undefined for a repository that does not exist. */
  tagsOf(repository: string): readonly string[] | undefined {
    const tags = this.#repositories.get(repository)?.tags;
    return tags && [...tags.keys()].sort();
  }

  #open(name: string): Repository {
    const held = this.#repositories.get(name);
    if (held !== undefined) return held;
    const repository: Repository = { manifests: new Map(), tags: new Map(), blobs: new Map() };
    this.#repositories.set(name, repository);
    return repository;
  }
}
