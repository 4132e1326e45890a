import type { Recording } from '../mirror/ports.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { Repository, RepositoryName } from '../oci/repository-name.ts';

// ---- bytes ----------------------------------------------------------------------------------------------------------

/** What a store does for content that is hosted: it is kept by digest like any other, but no cap counts it. */
export interface HostedStore {
  /**
   * Stores something small, durably, and has it recorded.
   *
   * @throws {NoRoom}
   */
  host(digest: Digest, bytes: Uint8Array, record: Recording): Promise<void>;
  /** Has something that is stored already, cached or hosted, recorded as hosted. False when it is not there, or not whole. */
  mount(digest: Digest, record: Recording): Promise<boolean>;
  /**
   * Takes a hosted blob back that no repository here holds: `decide` says in its turn whether it is gone, has become part of the
   * cache, or stays as it is. It is asked without room first, and with room only where it says that this is needed: so what goes
   * makes nothing else go. Gives what was decided; what needs room that there is not stays as it is.
   */
  unhost(digest: Digest, size: number, decide: (hasRoom: boolean) => Promise<TakenBack>): Promise<TakenBack>;
}

/** What has become of a hosted blob that no repository holds. One that needs room has become nothing yet. */
export type TakenBack = 'gone' | 'cached' | 'hosted' | 'needs room';

/** One upload as it stands. */
export interface UploadState {
  readonly id: string;
  /** Bytes received so far. */
  readonly size: number;
}

/** Growing blobs that clients push, by an opaque id, each for one repository. They survive a restart of the daemon. */
export interface Uploads {
  begin(repository: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadState>;
  /** Undefined for an id that is none, is over, or belongs to another repository. */
  find(repository: RepositoryName, id: string): Promise<Upload | undefined>;
  /** Throws away those that got no byte since `before`, in milliseconds since 1970; gives their number. */
  expire(before: number): Promise<number>;
}

export interface Upload extends UploadState {
  /**
   * Appends what comes, if it is to begin where the upload stands. Whoever was still appending is cut off first. What arrives
   * before the source breaks stays. Gives the bytes received so far; with `ok` false it was not in its place, or was cut off itself:
   * the upload is somebody else's to go on with.
   *
   * @throws {NoRoom} and the upload is over
   */
  append(
    source: AsyncIterable<Uint8Array>,
    at?: { readonly first: number; readonly end: number },
  ): Promise<{ readonly ok: boolean; readonly size: number }>;
  /**
   * Ends the upload: the bytes become the blob of this digest, durably, and are recorded. False, and the upload is over, when
   * they are not what the digest says.
   *
   * @throws {NoRoom}
   */
  complete(digest: Digest, record: (size: number) => ReturnType<Recording>): Promise<boolean>;
  cancel(): Promise<void>;
}

// ---- the truth ------------------------------------------------------------------------------------------------------

/** What of a hosted manifest its bytes do not tell. */
export interface ManifestNote {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Milliseconds since 1970. */
  readonly pushedAt: number;
}

export interface TagNote {
  readonly tag: Tag;
  readonly digest: Digest;
  /** Milliseconds since 1970. */
  readonly pushedAt: number;
}

/** What is noted of one repository. */
export interface NotedRepository {
  readonly name: RepositoryName;
  readonly manifests: readonly ManifestNote[];
  readonly tags: readonly TagNote[];
  readonly unreadable: readonly UnreadableNote[];
}

/** A piece that could not be understood. Its name still tells what it was about, unless it was none of ours. */
export interface UnreadableNote {
  /** For the operator: where it is. */
  readonly place: string;
  readonly about: Reference | undefined;
}

/**
 * What is hosted, in small durable pieces that outlive the ledger: one for each manifest of a repository, and one for each tag.
 * Each call has happened for good when it resolves.
 */
export interface HostedNotes {
  putManifest(name: RepositoryName, note: ManifestNote): Promise<void>;
  removeManifest(name: RepositoryName, digest: Digest): Promise<void>;
  putTag(name: RepositoryName, note: TagNote): Promise<void>;
  removeTag(name: RepositoryName, tag: Tag): Promise<void>;
  repositories(): AsyncIterable<NotedRepository>;
}

// ---- the index ------------------------------------------------------------------------------------------------------

export interface HostedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
}

export interface HostedManifest extends HostedBlob {
  readonly mediaType: string;
}

/** What a manifest says of itself to those who look for what refers to its subject. */
export interface Referrer {
  readonly subject: Digest;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

/** One entry of a referrers list. */
export interface ReferrerEntry extends Omit<Referrer, 'subject'> {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
}

export interface HostedTag {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly pushedAt: number;
}

/** The ledger's side of hosting. Each method is one whole transaction. Repositories are hosted ones. */
export interface HostedLedger {
  /** Records that the repository holds a stored blob by upload. It is hosted from then on. */
  addUpload(repository: Repository, blob: HostedBlob): Promise<{ readonly isHosted: true }>;
  /** The same for a blob that is recorded already, by mount. */
  addMount(repository: Repository, digest: Digest, at: number): Promise<{ readonly isHosted: true }>;
  /** Records a stored manifest of the repository, with what it needs and refers to. */
  addHostedManifest(
    repository: Repository,
    manifest: HostedManifest,
    about: { readonly children: readonly Child[]; readonly referrer: Referrer | undefined },
  ): Promise<{ readonly isHosted: true }>;
  /** Repositories, hosted or of an upstream, that are proved to hold the blob; at most `limit`. */
  holders(digest: Digest, limit: number): Promise<readonly Repository[]>;
  /** Those that the repository does not hold, or holds no more whole. */
  notHeld(repository: Repository, children: readonly Child[]): Promise<readonly Digest[]>;
  /** A manifest of the repository lists it as a blob. */
  isListedAsBlob(repository: Repository, digest: Digest): Promise<boolean>;
  setHostedTag(repository: Repository, tag: Tag, digest: Digest, pushedAt: number): Promise<void>;
  removeHostedTag(repository: Repository, tag: Tag): Promise<void>;
  /** The repository holds it no more; tags that stood for it go too. Its bytes stay until they are collected. */
  unlink(repository: Repository, digest: Digest): Promise<void>;
  /** Tags of the repository, by name. */
  hostedTags(repository: Repository): Promise<readonly HostedTag[]>;
  /** Manifests of the repository, by digest. */
  hostedManifests(repository: Repository): Promise<readonly Digest[]>;
  /**
   * Something that the repository holds was damaged, and is set aside. It may have been a manifest: until it is pushed again, or deleted,
   * nobody can tell what it needed.
   */
  lacksSomething(repository: Repository): Promise<boolean>;
  hostedRepositories(): Promise<readonly RepositoryName[]>;
  /** What repositories hold by their links and is not recorded as stored; at most `limit`, by digest. */
  lost(limit: number): Promise<readonly Digest[]>;
  /** What names the subject, by digest; after `after`. */
  referrers(
    repository: Repository,
    subject: Digest,
    page: { readonly artifactType: string | undefined; readonly after: string | undefined; readonly limit: number },
  ): Promise<readonly ReferrerEntry[]>;
  /** Manifests of the repository that nobody used since `before`, and that no tag, index or subject gives a use. */
  untagged(repository: Repository, before: number): Promise<readonly Digest[]>;
  /** Blobs that a repository holds, that no manifest of it needs, and that nobody used since `before`, in order. */
  strayLinks(page: {
    readonly before: number;
    readonly after: HeldBlob | undefined;
    readonly limit: number;
  }): Promise<readonly (HeldBlob & { readonly size: number })[]>;
  /** The repository does not hold it any more, if it is still one of {@link strayLinks}. */
  dropStray(repository: Repository, digest: Digest, before: number): Promise<boolean>;
  /** Hosted blobs that no repository holds and nobody used since `before`, in digest order. */
  unheld(page: {
    readonly before: number;
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<readonly HostedBlob[]>;
  /**
   * Takes back one of {@link unheld}: it becomes part of the cache where that needs it, and is forgotten where nothing does. It
   * stays hosted when a repository holds it after all, as long as another hosted manifest lists it, and where the cache that needs it
   * has no room.
   */
  takeBack(digest: Digest, before: number, hasRoom: boolean): Promise<TakenBack>;
}

export interface HeldBlob {
  readonly repository: Repository;
  readonly digest: Digest;
}
