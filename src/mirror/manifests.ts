import { LRUCache } from 'lru-cache';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { type Child, childrenOf, mediaTypeOf } from '../oci/manifest.ts';
import { isManifestType } from '../oci/media-type.ts';
import type { Reference } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';
import {
  type BlobStore,
  type Clock,
  type Ledger,
  type ManifestRecord,
  NoRoom,
  type UpstreamManifest,
} from './ports.ts';
import { readStored } from './read-stored.ts';
import type { Registries } from './registries.ts';
import { setAside } from './set-aside.ts';
import { type Shared, SingleFlight } from './single-flight.ts';

export interface Manifest {
  readonly record: ManifestRecord;
  readonly bytes: Uint8Array;
  /** False when there was no room: it can be passed on, but no tag may point at it. */
  readonly stored: boolean;
}

interface Deps {
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly registries: Registries;
  readonly clock: Clock;
}

/** Manifests by digest, byte for byte: from memory, from the store, or fetched and stored. */
export class Manifests {
  readonly #deps: Deps;
  readonly #hot = new LRUCache<Digest, Uint8Array>({
    maxSize: limits.hotManifestBytes,
    sizeCalculation: (bytes) => bytes.length + 1,
  });
  readonly #fetches = new SingleFlight<Result<Manifest, UpstreamFailure>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** From memory or the store. Bytes that are gone or no longer what their digest says are forgotten. */
  async read(digest: Digest): Promise<Manifest | undefined> {
    const record = await this.#deps.ledger.manifest(digest);
    if (record === undefined) return undefined;
    const bytes = this.#hot.get(digest) ?? (await readStored(this.#deps.store, digest));
    if (bytes?.length !== record.size) {
      await setAside(record, this.#deps);
      return undefined;
    }
    this.#hot.set(digest, bytes);
    return { record, bytes, stored: true };
  }

  /** From the upstream, once for all who ask for the same at the same time. Not bound to any one request. */
  fetch(repository: Repository, reference: Reference): Shared<Result<Manifest, UpstreamFailure>> {
    const what = reference.kind === 'tag' ? reference.tag : reference.digest;
    return this.#fetches.run(`${repositoryText(repository)} ${what}`, () => this.#fetch(repository, reference));
  }

  async #fetch(repository: Repository, reference: Reference): Promise<Result<Manifest, UpstreamFailure>> {
    const { upstream } = this.#deps.registries.of(repository);
    const answer = await upstream.getManifest(repository.name, reference, {
      deadlineMs: limits.askDeadlineMs,
      signal: AbortSignal.timeout(limits.documentDeadlineMs),
    });
    if (!answer.ok) return answer;
    const digest = checkedDigest(answer.value, reference);
    if (!digest.ok) return digest;
    return this.#keep(repository, digest.value, answer.value);
  }

  async #keep(
    repository: Repository,
    digest: Digest,
    answer: UpstreamManifest,
  ): Promise<Result<Manifest, UpstreamFailure>> {
    const { bytes, withCredentials } = answer;
    const mediaType = mediaTypeOf(bytes, answer.mediaType);
    const children = childrenOf(bytes, mediaType);
    if (!children.ok) return fail({ kind: 'wrong-answer', reason: children.failure.reason });
    const record = {
      digest,
      mediaType,
      size: bytes.length,
      isPublic: !withCredentials,
      isHosted: false,
      storedAt: this.#deps.clock.now(),
    };
    const stored = await this.#store(record, bytes, children.value, repository);
    if (stored) this.#hot.set(digest, bytes);
    return ok({ record, bytes, stored });
  }

  /** False when there is no room for it. It is not evicted meanwhile. */
  async #store(
    record: ManifestRecord,
    bytes: Uint8Array,
    children: readonly Child[],
    repository: Repository,
  ): Promise<boolean> {
    const held = await this.#deps.store.hold(record.digest);
    try {
      return await this.#storeHeld(record, bytes, children, repository);
    } finally {
      await held[Symbol.asyncDispose]();
    }
  }

  async #storeHeld(
    record: ManifestRecord,
    bytes: Uint8Array,
    children: readonly Child[],
    repository: Repository,
  ): Promise<boolean> {
    const { store, ledger } = this.#deps;
    const add = () => ledger.addManifest(record, children, repository);
    try {
      // Sets aside what is there and damaged.
      await this.read(record.digest);
      return await store.put(record.digest, bytes, add);
    } catch (error) {
      if (error instanceof NoRoom) return false;
      throw error;
    }
  }

  /** Resolves when no fetch is under way. */
  async idle(): Promise<void> {
    await this.#fetches.idle();
  }
}

/**
 * What the bytes really are; a failure when that is not what was asked for, or not what the upstream says they are. With no
 * digest to hold them to, they must at least claim to be a manifest: a captive portal answers 200 to everything.
 */
function checkedDigest(answer: UpstreamManifest, reference: Reference): Result<Digest, UpstreamFailure> {
  const expected = reference.kind === 'digest' ? reference.digest : answer.digest;
  if (expected === undefined && !isManifestType(answer.mediaType)) {
    return fail({
      kind: 'wrong-answer',
      reason: `the upstream sent ${answer.mediaType || 'something'} instead of a manifest`,
    });
  }
  const actual = digestOf(answer.bytes, expected === undefined ? 'sha256' : algorithmOf(expected));
  if (expected === undefined || actual === expected) return ok(actual);
  return fail({ kind: 'wrong-answer', reason: `the upstream sent a manifest ${actual} for ${expected}` });
}
