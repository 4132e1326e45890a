import { join } from 'node:path';
import { algorithmOf, type Digest, hexOf, parseDigest } from '../oci/digest.ts';

/**
 * Where things lie below the data directory. The only place that builds paths.
 *
 *     blobs/sha256/ab/abcd…     verified content; the file's name is its digest
 *     partial/sha256-abcd…      what a fill has got so far, continued by the next one
 *     incoming/…                small things on their way into blobs/, removed at start
 */
export class Layout {
  readonly blobs: string;
  readonly partial: string;
  readonly incoming: string;

  constructor(root: string) {
    this.blobs = join(root, 'blobs');
    this.partial = join(root, 'partial');
    this.incoming = join(root, 'incoming');
  }

  shardOf(digest: Digest): string {
    return join(this.blobs, algorithmOf(digest), hexOf(digest).slice(0, 2));
  }

  blob(digest: Digest): string {
    return join(this.shardOf(digest), hexOf(digest));
  }

  partialOf(digest: Digest): string {
    return join(this.partial, `${algorithmOf(digest)}-${hexOf(digest)}`);
  }
}

/** The digest a file under `blobs/` is named by; undefined for a stray file. */
export function digestOfFile(algorithm: string, name: string): Digest | undefined {
  const digest = parseDigest(`${algorithm}:${name}`);
  return digest.ok ? digest.value : undefined;
}
