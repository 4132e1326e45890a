import { join } from 'node:path';
import type { Leftover } from '../mirror/ports.ts';
import { algorithmOf, type Digest, hexOf, parseDigest } from '../oci/digest.ts';

/**
 * Where things lie below the data directory. The only place that builds paths.
 *
 *     blobs/sha256/ab/abcd…     verified content; the file's name is its digest
 *     partial/sha256-abcd…      what a fill has got so far, continued by the next one
 *     quarantine/sha256-abcd…   what was found damaged under blobs/, until room is needed
 *     ballast                   room for the ledger to write on a full disk
 *     incoming/…                small things on their way into blobs/, removed at start
 */
export class Layout {
  readonly root: string;
  readonly blobs: string;
  readonly partial: string;
  readonly quarantine: string;
  readonly incoming: string;
  readonly ballast: string;

  constructor(root: string) {
    this.root = root;
    this.blobs = join(root, 'blobs');
    this.partial = join(root, 'partial');
    this.quarantine = join(root, 'quarantine');
    this.incoming = join(root, 'incoming');
    this.ballast = join(root, 'ballast');
  }

  shardOf(digest: Digest): string {
    return join(this.blobs, algorithmOf(digest), hexOf(digest).slice(0, 2));
  }

  blob(digest: Digest): string {
    return join(this.shardOf(digest), hexOf(digest));
  }

  directoryOf(kind: Leftover['kind']): string {
    return kind === 'partial' ? this.partial : this.quarantine;
  }

  leftover(kind: Leftover['kind'], digest: Digest): string {
    return join(this.directoryOf(kind), `${algorithmOf(digest)}-${hexOf(digest)}`);
  }
}

/** The digest a file under `blobs/` is named by; undefined for a stray file. */
export function digestOfFile(algorithm: string, name: string): Digest | undefined {
  const digest = parseDigest(`${algorithm}:${name}`);
  return digest.ok ? digest.value : undefined;
}

/** The same for a file of {@link Layout.leftover}. */
export function digestOfLeftover(name: string): Digest | undefined {
  const dash = name.indexOf('-');
  return digestOfFile(name.slice(0, dash), name.slice(dash + 1));
}
