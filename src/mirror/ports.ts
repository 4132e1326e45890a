/**
 * What the pull path needs from the world. Everything is asynchronous and free of paths, descriptors and SQL, so that an
 * object store and a networked database can stand behind the same interfaces.
 */
import type { Digest, Digester } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { Repository, RepositoryName } from '../oci/repository-name.ts';
import type { Result } from '../oci/result.ts';
import type { UpstreamFailure } from './failure.ts';

/** Wall-clock time in milliseconds since 1970, and a wait that tests can end by hand. */
export interface Clock {
  now(): number;
  /** Resolves after the time, or at once when the signal aborts; never rejects. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

// ---- bytes ----------------------------------------------------------------------------------------------------------

/** Bytes that can be read from any position. Held open by its reader: what is deleted meanwhile stays readable. */
export interface BlobReader extends AsyncDisposable {
  readonly size: number;
  /** Fills `target` as far as there are bytes at `position`; gives their number, 0 at the end. */
  read(target: Uint8Array, position: number): Promise<number>;
}

/**
 * One growing blob. Invariant: at most one writer per digest. `append` hashes what it writes; nothing is visible under the
 * digest before `commit`. Disposing before `commit` or `discard` keeps the partial bytes for the next writer.
 */
export interface BlobWriter extends AsyncDisposable {
  /** Bytes kept from an earlier writer. They count as `written` only after `replay` has hashed them again. */
  readonly kept: number;
  /** Bytes hashed and readable. */
  readonly written: number;
  /** Whether a blob of this size could have room if everything else went. */
  couldFit(size: number): boolean;
  /** Reserves room for a blob of this size; false, and nothing reserved, when cap or disk have no room for it. */
  reserve(size: number): Promise<boolean>;
  /** Throws away what was kept. Only before `replay` and `append`. */
  restart(): Promise<void>;
  /** Hashes one further piece of the kept bytes; false when none is left. */
  replay(): Promise<boolean>;
  /**
   * Rejects with {@link NoRoom}, and nothing written, when the disk is full, or the cap is reached by a blob of unknown size,
   * and nothing can be made to go.
   */
  append(bytes: Uint8Array): Promise<void>;
  /** The hash of what was written so far, for somebody who goes on without this writer. */
  digester(): Digester;
  /** Reads what was written so far. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** True if what was written is what the digest says. Ends the writing: call once, before `commit` or `discard`. */
  verify(): boolean;
  /**
   * Makes the bytes durable under their digest, and has them recorded before anything else happens to the digest. Throws when
   * `verify` has not agreed, or when `record` does: the bytes are then kept for the next writer.
   */
  commit(record: Recording): Promise<void>;
  /** Throws the bytes away. Safe to call twice. */
  discard(): Promise<void>;
  /** Keeps the bytes readable past commit and disposal; undefined when they are let go of already. */
  hold(): AsyncDisposable | undefined;
}

/**
 * Tells the ledger of stored bytes. Called by the store while nothing else happens to the digest, so that what the ledger says and
 * what lies there never part. Gives what the ledger says then.
 */
export type Recording = () => Promise<Pick<BlobRecord, 'isHosted'>>;

export interface BlobStore {
  open(digest: Digest): Promise<BlobReader | undefined>;
  /** Continues what an earlier writer left of this digest, or starts anew. For what the ledger does not have. */
  begin(digest: Digest): Promise<BlobWriter>;
  /** Stores something small in one go, durably, and has it recorded. False when the cap or the disk has no room. Throws if the digest is wrong. */
  put(digest: Digest, bytes: Uint8Array, record: Recording): Promise<boolean>;
  /**
   * For what the ledger has forgotten: gives back the `counted` bytes it was counted with, once per blob. What was stored anew
   * since stays. Readers keep what they have open, and its room.
   */
  delete(digest: Digest, counted: number): Promise<void>;
  /** The same for a damaged blob, which is put where nothing serves it. It stays a leftover until room is needed. */
  quarantine(digest: Digest, counted: number): Promise<void>;
  /** Counts as reading it, until the hold is let go of: what is held is not evicted. */
  hold(digest: Digest): Promise<AsyncDisposable>;
  /** The blobs that somebody is reading, writing or holding. */
  inUse(): Promise<ReadonlySet<Digest>>;
  /** What of them is stored and counted, in bytes. */
  bytesInUse(): Promise<number>;
  /** On a full disk: lets go of some room that is kept for that case. False when there is none any more. */
  dropBallast(): Promise<boolean>;
  /** Keeps such room again, if there is some. */
  keepBallast(): Promise<void>;
  /** What takes room and serves nobody now, that which is missed least first. */
  leftovers(): Promise<readonly Leftover[]>;
  /** False when somebody has taken it up meanwhile, or it is gone. */
  drop(leftover: Leftover): Promise<boolean>;
  /** Every committed blob; `storedAt` in milliseconds since 1970. */
  list(): AsyncIterable<{ readonly digest: Digest; readonly size: number; readonly storedAt: number }>;
}

export interface Leftover {
  readonly kind: 'quarantined' | 'partial';
  readonly digest: Digest;
  readonly size: number;
  /** When it was last written to; milliseconds since 1970. */
  readonly at: number;
}

/** The byte cap, or the disk, leaves no room for what is being written. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom';
}

// ---- what is known --------------------------------------------------------------------------------------------------

export interface BlobRecord {
  readonly digest: Digest;
  readonly size: number;
  /** An upstream gave it, or vouched for it, to a request without credentials: anybody may have it. */
  readonly isPublic: boolean;
  /** A repository of this server holds it, or held it until a moment ago: it does not count against the cap, and never makes room. */
  readonly isHosted: boolean;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
}

/** What an upstream gave. */
export type FetchedBlob = Omit<BlobRecord, 'isHosted'>;

/** The bytes that the cap counts for it. */
export function countedBytes({ size, isHosted }: Pick<BlobRecord, 'size' | 'isHosted'>): number {
  return isHosted ? 0 : size;
}

export interface ManifestRecord extends BlobRecord {
  readonly mediaType: string;
}

export type FetchedManifest = Omit<ManifestRecord, 'isHosted'>;

export interface TagRecord {
  readonly digest: Digest;
  /** When the upstream last confirmed it; milliseconds since 1970. */
  readonly checkedAt: number;
  /** The last digest that was complete for a platform for which `digest` is not, kept for the time without an upstream. */
  readonly fallback?: Digest;
}

/** Where a blob or manifest is known to be had, and by which tags. */
export interface Name {
  readonly repository: Repository;
  readonly tags: readonly Tag[];
}

/** Stored bytes. */
export interface Content {
  readonly digest: Digest;
  readonly size: number;
}

/** What no stored manifest refers to: an image as a whole, or a blob that belongs to none. */
export interface Unreferenced {
  readonly digest: Digest;
  /** Of its own bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly usedAt: number;
  readonly isManifest: boolean;
  readonly names: readonly Name[];
}

/** A place in the order of use; with an empty digest, before everything that was used at that time. */
export interface UseOrder {
  readonly usedAt: number;
  readonly digest: Digest | '';
}

/** A stored manifest under one of its names; without a tag where nothing but its digest names it there. */
export interface ImageName {
  readonly repository: Repository;
  readonly tag: Tag | undefined;
  readonly digest: Digest;
  /** When the upstream last confirmed the tag. */
  readonly checkedAt: number | undefined;
}

export interface Image {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of all that is stored below it, and itself. Other images may share some of it. */
  readonly bytes: number;
  readonly usedAt: number;
  /** Everything below it is stored, for every platform. */
  readonly isComplete: boolean;
  /** Of an index, the platforms of which everything is stored. */
  readonly completePlatforms: readonly string[];
}

export interface Totals {
  readonly blobs: number;
  readonly bytes: number;
  /** Of these, what is hosted. */
  readonly hostedBlobs: number;
  readonly hostedBytes: number;
}

export interface Page {
  /** Names after this one, in byte order; from the first when absent. */
  readonly after?: string;
  readonly limit: number;
}

/** Each method is one whole transaction. */
export interface Ledger {
  blob(digest: Digest): Promise<BlobRecord | undefined>;
  /** Records a stored blob and that `repository` was proved to hold it. A public blob never becomes private again. */
  addBlob(blob: FetchedBlob, repository: Repository | undefined): Promise<BlobRecord>;
  /**
   * Records a stored blob that nothing more is known of. It is public if an upstream is known to have given it to everybody.
   */
  adoptBlob(blob: Omit<FetchedBlob, 'isPublic'>): Promise<BlobRecord>;
  /**
   * The bytes are gone: forgets the blob, and the manifest they were. Links and tags stay, they are still true. False when
   * it was not known, or somebody else has just done so: of several, one gets to clear the bytes away. With `seen`, only if it was
   * neither stored anew nor changed sides since.
   */
  forget(digest: Digest, seen?: Pick<BlobRecord, 'storedAt' | 'isHosted'>): Promise<boolean>;

  manifest(digest: Digest): Promise<ManifestRecord | undefined>;
  /** Records a stored manifest with its children, as a blob too, and links it to the repository. */
  addManifest(manifest: FetchedManifest, children: readonly Child[], repository: Repository): Promise<ManifestRecord>;
  /** The size that a manifest of this repository states for the digest. */
  statedSize(repository: Repository, digest: Digest): Promise<number | undefined>;

  /** True if the upstream of this repository has answered 2xx for this digest in it. */
  isLinked(repository: Repository, digest: Digest): Promise<boolean>;
  /** Records such an answer. One to a request without credentials makes the content and the repository public. */
  link(repository: Repository, proof: Proof, provedAt: number): Promise<void>;

  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;
  /**
   * Points the tag at a stored manifest, which the upstream confirmed at `checkedAt`. The digest it leaves becomes the
   * fallback when it is complete for some platform for which the new one is not.
   */
  setTag(repository: Repository, tag: Tag, digest: Digest, checkedAt: number): Promise<TagRecord>;
  removeTag(repository: Repository, tag: Tag): Promise<void>;
  /** Drops the fallback once the tag's own digest is complete for every platform for which the fallback is. */
  settleTag(repository: Repository, tag: Tag): Promise<TagRecord | undefined>;

  /** Whether clients without an account may have the repository, as last seen upstream. */
  visibility(repository: Repository): Promise<{ readonly isPublic: boolean; readonly checkedAt: number } | undefined>;
  setVisibility(repository: Repository, isPublic: boolean, checkedAt: number): Promise<void>;

  /** Tags of the repository whose manifest is stored. */
  tags(repository: Repository, page: Page): Promise<readonly string[]>;
  /** Names of repositories of which at least one manifest is stored, as clients of this server write them. */
  repositories(page: Page, listing: Listing): Promise<readonly string[]>;
  /** Looks at some repositories of one registry, by name, for a text. */
  searchRepositories(search: RepositorySearch): Promise<RepositoryMatches>;

  /**
   * Last use, batched: recorded within a second or so, and on close. Using a manifest is using the images that it is part
   * of, and everything below them: a client that has a layer already never asks for it.
   */
  touch(digest: Digest, at: number): void;
  /** Least recently used first, from `after` on. Without what a tag falls back to: that goes after the tag. */
  leastUsed(page: { readonly after?: UseOrder | undefined; readonly limit: number }): Promise<readonly Unreferenced[]>;
  /**
   * Forgets a manifest that nothing refers to, its names, and the blobs that nothing else refers to, but for those in use;
   * or a blob that nothing refers to. Its bytes are then for the caller to delete. What it leaves was used when it was.
   * Empty when it is not there, or is needed or in use after all.
   */
  evict(digest: Digest, inUse: ReadonlySet<Digest>): Promise<readonly Content[]>;

  /** Records in digest order. */
  blobs(page: Page): Promise<readonly BlobRecord[]>;
  totals(): Promise<Totals>;
  /** Where the blob is known to be had. */
  namesOf(digest: Digest): Promise<readonly Name[]>;
  /** Names of the images of which the blob is part; at most `limit`. */
  namesAbove(digest: Digest, limit: number): Promise<readonly ImageName[]>;
  /** All stored images, by name. */
  imageNames(page: { readonly after?: ImageName; readonly limit: number }): Promise<readonly ImageName[]>;
  image(digest: Digest): Promise<Image | undefined>;
  /** All that is cached at and below these, each once; what is hosted does not count. */
  contentOf(digests: readonly Digest[]): Promise<readonly Content[]>;

  /** Patterns pinned at run time, as the operator wrote them. */
  pins(): Promise<readonly string[]>;
  addPin(pattern: string, at: number): Promise<void>;
  /** False when there was no such pin. */
  removePin(pattern: string): Promise<boolean>;
}

/** An upstream's 2xx for a digest in a repository; public when it was given to a request without credentials. */
export interface Proof {
  readonly digest: Digest;
  readonly isPublic: boolean;
}

export interface Listing {
  /** Written without its name in front. */
  readonly defaultRegistry: string | undefined;
  /** Registries whose public repositories are listed. */
  readonly registries: readonly string[];
  /** Registries of which all repositories are listed. */
  readonly listPrivate: readonly string[];
}

export interface RepositorySearch {
  readonly registry: string;
  /** Stands in front of each name where `holds` is looked for, such as `ghcr.io/`. */
  readonly prefix: string;
  /** Names that this is a part of, in lower case; the empty text is part of all. */
  readonly holds: string;
  /** Names that are part of this, too; of the empty text, none. */
  readonly heldBy: string;
  /** Names after this one, in byte order; from the first when absent. */
  readonly after?: string | undefined;
  /** How many repositories are looked at, which is the work that is done. */
  readonly look: number;
}

export interface RepositoryMatches {
  /** By name. */
  readonly matches: readonly RepositoryMatch[];
  /** The last name that was looked at, where there may be more. */
  readonly next: string | undefined;
}

interface RepositoryMatch {
  readonly name: RepositoryName;
  /** At least one manifest of it is stored. */
  readonly isStored: boolean;
  /** Its upstream was seen to give it to everybody. */
  readonly isPublic: boolean;
}

// ---- upstream -------------------------------------------------------------------------------------------------------

export interface Ask {
  /** Leave the configured account out: what is asked is whether everybody may have this. */
  readonly anonymously?: boolean;
  /** The bound on the wait for the response's headers, tokens and retries included. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

export interface UpstreamHead {
  readonly mediaType: string;
  /** `Docker-Content-Digest`, where the registry sent a valid one. */
  readonly digest: Digest | undefined;
  readonly size: number | undefined;
  /** The answer was given to the configured account, not to everybody. */
  readonly withCredentials: boolean;
}

export interface UpstreamManifest extends UpstreamHead {
  readonly bytes: Uint8Array;
}

export interface UpstreamBlob {
  /** Position of the first byte of `body` in the blob: what was asked for, or 0 from a registry that ignores `Range`. */
  readonly start: number;
  /** Of the whole blob; undefined when the upstream did not say. */
  readonly size: number | undefined;
  readonly withCredentials: boolean;
  /** To be read once and to the end, or left by leaving the loop. Ends early or throws when the connection breaks. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface UpstreamTags {
  readonly tags: readonly string[];
  /** Query parameters of the next page, where there is one. */
  readonly next: URLSearchParams | undefined;
  readonly withCredentials: boolean;
}

/** A repository as the upstream's own search has it. */
export interface UpstreamHit {
  readonly name: RepositoryName;
  /** One line, without control characters. */
  readonly description: string;
  readonly stars: number;
  readonly isOfficial: boolean;
  readonly isAutomated: boolean;
}

/** One registry of the configuration, behind all its endpoints. */
export interface Upstream {
  readonly registry: string;
  readonly hasCredentials: boolean;
  headManifest(name: RepositoryName, reference: Reference, ask: Ask): Promise<Result<UpstreamHead, UpstreamFailure>>;
  getManifest(name: RepositoryName, reference: Reference, ask: Ask): Promise<Result<UpstreamManifest, UpstreamFailure>>;
  headBlob(name: RepositoryName, digest: Digest, ask: Ask): Promise<Result<UpstreamHead, UpstreamFailure>>;
  /** Bytes from `range.first` to `range.last`, or to the end. */
  getBlob(
    name: RepositoryName,
    digest: Digest,
    range: { readonly first: number; readonly last?: number },
    ask: Ask,
  ): Promise<Result<UpstreamBlob, UpstreamFailure>>;
  listTags(name: RepositoryName, query: URLSearchParams, ask: Ask): Promise<Result<UpstreamTags, UpstreamFailure>>;
  /** Its best hits, without the account; absent where it has no search, or must not be asked. */
  readonly search?: (query: string) => Promise<Result<readonly UpstreamHit[], UpstreamFailure>>;
}
