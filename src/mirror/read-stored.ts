import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { maxManifestBytes } from '../oci/manifest.ts';
import type { BlobStore } from './ports.ts';

/** The bytes of a stored manifest; undefined for a file that is gone, too long for one, or not what the digest says. */
export async function readStored(store: Pick<BlobStore, 'open'>, digest: Digest): Promise<Uint8Array | undefined> {
  await using reader = await store.open(digest);
  if (reader === undefined || reader.size > maxManifestBytes) return undefined;
  const bytes = Buffer.alloc(reader.size);
  for (let position = 0; position < bytes.length; ) {
    const count = await reader.read(bytes.subarray(position), position);
    if (count === 0) return undefined;
    position += count;
  }
  return digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined;
}
