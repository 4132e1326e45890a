import { join } from 'node:path';
import type { Leftover } from '../mirror/ports.ts';
import { algorithmOf, type Digest, hexOf, parseDigest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/repository-name.ts';

/**
 * Where things lie below the data directory. The only place that builds paths.
 *
 *     blobs/sha256/ab/abcd…     verified content; the file's name is its digest
 *     partial/sha256-abcd…      what a fill has got so far, continued by the next one
 *     quarantine/sha256-abcd…   what was found damaged under blobs/, until room is needed
 *     ballast                   room for the ledger to write on a full disk
 *     incoming/…                small things on their way to their place, removed at start
 *     uploads/<id>.<hash>       what a client is pushing; the hash is that of the repository
 *     hosted/<name>/_manifests/sha256-abcd…   what is hosted: a note for each manifest of a repository,
 *     hosted/<name>/_tags/<tag>               and for each tag
 */
export class Layout {
  readonly root: string;
  readonly blobs: string;
  readonly partial: string;
  readonly quarantine: string;
  readonly incoming: string;
  readonly ballast: string;
  readonly uploads: string;
  readonly hosted: string;

  constructor(root: string) {
    this.root = root;
    this.blobs = join(root, 'blobs');
    this.partial = join(root, 'partial');
    this.quarantine = join(root, 'quarantine');
    this.incoming = join(root, 'incoming');
    this.ballast = join(root, 'ballast');
    this.uploads = join(root, 'uploads');
    this.hosted = join(root, 'hosted');
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
    return join(this.directoryOf(kind), fileNameOf(digest));
  }

  /** No segment of a repository's name begins with `_`. */
  notesOf(name: RepositoryName, kind: '_manifests' | '_tags'): string {
    return join(this.hosted, name, kind);
  }
}

/** Of files by digest that lie in one directory. */
export function fileNameOf(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}`;
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
