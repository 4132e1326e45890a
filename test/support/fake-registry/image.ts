import { gunzipSync } from 'node:zlib';
import { digestOfBytes } from './content.ts';

export interface BlobDescriptor {
  readonly digest: string;
  readonly size: number;
}

export interface Descriptor extends BlobDescriptor {
  readonly mediaType: string;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export type ImageFormat = keyof typeof mediaTypes;

export const mediaTypes = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar',
    gzippedLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar',
    gzippedLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

const GZIP_DEFLATE_MAGIC = Buffer.from([0x1f, 0x8b, 0x08]);

/**
 * The diff id is the digest of the layer before compression. Real clients check it, so an image made of real tar files
 * has to carry the right one to be pullable.
 */
export function describeLayer(
  layer: Buffer | BlobDescriptor,
  types: (typeof mediaTypes)[ImageFormat],
): { readonly descriptor: Descriptor; readonly diffId: string } {
  if (!Buffer.isBuffer(layer)) {
    return { descriptor: { mediaType: types.layer, digest: layer.digest, size: layer.size }, diffId: layer.digest };
  }
  const gzipped = layer.subarray(0, GZIP_DEFLATE_MAGIC.length).equals(GZIP_DEFLATE_MAGIC);
  const digest = digestOfBytes(layer);
  return {
    descriptor: { mediaType: gzipped ? types.gzippedLayer : types.layer, digest, size: layer.length },
    diffId: gzipped ? digestOfBytes(gunzipSync(layer)) : digest,
  };
}

export function imageConfig(
  platform: Platform = { os: 'linux', architecture: 'amd64' },
  diffIds: readonly string[] = [],
): object {
  return { ...platform, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
}
