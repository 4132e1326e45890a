import type { Digest } from '../oci/digest.ts';

/** What an operator can ask of the running daemon. Times are ISO 8601, sizes bytes: this is also what `--json` prints. */
export interface Operations {
  status(): Promise<Status>;
  /** All stored images, by name. */
  images(): AsyncIterable<ImageListing>;
  /** Patterns as they stand: those of the configuration, and those pinned at run time. */
  pins(): Promise<readonly Pin[]>;
  /** @throws {Refused} when the pattern is not valid */
  pin(pattern: string): Promise<readonly Pin[]>;
  /** @throws {Refused} when there is no such pin, or it stands in the configuration */
  unpin(pattern: string): Promise<readonly Pin[]>;
  /** Removes what serves nobody, and says what. `dryRun` only says. */
  collectGarbage(options: { readonly dryRun: boolean }, job: Job): Promise<Collected>;
  /** Hashes everything that is stored. `repair` fetches again what is damaged. */
  verify(options: { readonly repair: boolean }, job: Job): Promise<Verified>;
}

/** Of something that takes long. */
export interface Job {
  /** Called as often as there is something to say; `total` is 0 while nobody knows. */
  readonly onProgress: (progress: Progress) => void;
  /** Aborts when nobody waits for the result any more. */
  readonly signal: AbortSignal;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'blobs';
}

/** Asked for something that cannot be done; the message is one clear sentence. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export interface Status {
  readonly version: string;
  readonly url: string;
  readonly startedAt: string;
  readonly cache: {
    /** Cached blobs, partial and quarantined files, and room reserved for fills under way. Never above `limit`. */
    readonly bytes: number;
    readonly limit: number;
    readonly blobs: number;
    /** Of pinned images, what they share counted once. */
    readonly pinnedBytes: number;
  };
  /** What repositories of this server hold; it does not count against the cap. */
  readonly hosted: { readonly bytes: number; readonly blobs: number };
  readonly disk: { readonly freeBytes: number; readonly minFree: number };
  readonly fillsInFlight: number;
  /** False while store and ledger are being compared after a stop that was not clean. */
  readonly reconciled: boolean;
  /** What the ledger cost that this one was made anew for, lost or damaged; null when there was none. */
  readonly recovery: Recovery | null;
}

export interface Recovery {
  readonly at: string;
  /** Why, in a sentence. */
  readonly reason: string;
  /** The damaged ledger's new name in the data directory; null when there was none left. */
  readonly setAside: string | null;
  readonly recovered: { readonly blobs: number; readonly manifests: number; readonly tags: number };
  /** What could not be recovered, a sentence each; empty when all was. */
  readonly lost: readonly string[];
}

export interface ImageListing {
  /** With the registry, `docker.io/library/alpine`; without one where it is hosted here. */
  readonly repository: string;
  readonly hosted: boolean;
  /** Null for an image that only its digest names. */
  readonly tag: string | null;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
  /** Everything is stored: it can be pulled without an upstream, for every platform it lists. */
  readonly complete: boolean;
  /** Of a multi-platform image, the platforms that can be pulled without an upstream. */
  readonly platforms: readonly string[];
  readonly usedAt: string;
  readonly pinned: boolean;
}

export interface Pin {
  readonly pattern: string;
  readonly from: 'configuration' | 'command';
}

export interface Collected {
  readonly dryRun: boolean;
  readonly removed: readonly {
    readonly kind: 'blob' | 'partial' | 'quarantined' | 'hosted blob' | 'hosted tag' | 'hosted manifest';
    readonly digest: Digest;
    readonly bytes: number;
    /** Of what is hosted and goes by a name: `team/app:1.0`, or the repository of a manifest. */
    readonly name?: string | undefined;
  }[];
  readonly bytes: number;
}

export interface Verified {
  readonly blobs: number;
  readonly bytes: number;
  readonly damaged: readonly Damage[];
}

export interface Damage {
  readonly digest: Digest;
  readonly bytes: number;
  /** `set-aside`: found before this time, and not stored again since. */
  readonly reason: 'wrong-content' | 'wrong-size' | 'missing' | 'unreadable' | 'set-aside';
  /** Images it is part of: `docker.io/library/alpine:3.20`, or `…@sha256:…`. */
  readonly images: readonly string[];
  readonly repaired: boolean;
  /** Only another push brings it back. */
  readonly hosted: boolean;
}
