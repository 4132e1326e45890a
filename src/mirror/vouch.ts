import type { Digest } from '../oci/digest.ts';
import { isManifestType } from '../oci/media-type.ts';
import type { Reference } from '../oci/reference.ts';
import type { UpstreamHead } from './ports.ts';

/** What is asked for in a repository. */
export type Wanted =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'tags' };

/**
 * Whether a 2xx to a `HEAD` can be about what was asked. A captive portal answers 200 with its page to everything, and must
 * not vouch for anything: by digest the digests or, where the registry sends none, the sizes have to agree.
 *
 * @param size of the content, in bytes, where it is known
 */
export function vouchesFor(head: UpstreamHead, wanted: Exclude<Wanted, { kind: 'tags' }>, size?: number): boolean {
  if (size !== undefined && head.size !== undefined && head.size !== size) return false;
  if (wanted.kind === 'blob') return head.digest === wanted.digest || (head.digest === undefined && !isText(head));
  const { reference } = wanted;
  if (head.digest === undefined) return isManifestType(head.mediaType);
  return reference.kind === 'tag' || head.digest === reference.digest;
}

function isText({ mediaType }: UpstreamHead): boolean {
  return mediaType.startsWith('text/');
}
