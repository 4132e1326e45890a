import { randomBytes } from 'node:crypto';
import { type Algorithm, digestOfBytes } from '../support/fake-registry/content.ts';
import { type Descriptor, mediaTypes } from '../support/fake-registry/image.ts';

export const imageType = mediaTypes.oci.manifest;
export const indexType = mediaTypes.oci.index;
export const layerType = mediaTypes.oci.layer;

/** image-spec "Guidance for an Empty Descriptor". */
export const emptyType = 'application/vnd.oci.empty.v1+json';

/** A manifest as it goes over the wire. */
export interface Document {
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly digest: string;
}

export function documentOf(mediaType: string, content: object | string | Buffer, algorithm?: Algorithm): Document {
  const bytes = Buffer.from(
    typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content),
  );
  return { mediaType, bytes, digest: digestOfBytes(bytes, algorithm) };
}

export function imageOf(config: Descriptor, layers: readonly object[], more: object = {}): Document {
  return documentOf(imageType, { schemaVersion: 2, mediaType: imageType, config, layers, ...more });
}

export function indexOf(manifests: readonly object[], more: object = {}): Document {
  return documentOf(indexType, { schemaVersion: 2, mediaType: indexType, manifests, ...more });
}

export function descriptorOf({ mediaType, digest, bytes }: Document): Descriptor {
  return { mediaType, digest, size: bytes.length };
}

/** No two checks share content by accident. */
export function uniqueBytes(size = 64): Buffer {
  return randomBytes(size);
}

/** A well-formed digest that nothing has. */
export function unknownDigest(algorithm: Algorithm = 'sha256'): string {
  return digestOfBytes(randomBytes(32), algorithm);
}

export function descriptorOfBytes(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestOfBytes(bytes), size: bytes.length };
}
