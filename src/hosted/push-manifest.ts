import type { Clock } from '../mirror/ports.ts';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { type Child, childrenOf, flawOf, isKnownType, type Kinship, kinshipOf, statedTypeOf } from '../oci/manifest.ts';
import { mayBeUnstated } from '../oci/media-type.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Turns } from '../ops/turns.ts';
import type { PushFailure } from './failure.ts';
import type { Policies } from './policies.ts';
import type { HostedLedger, HostedNotes, HostedStore } from './ports.ts';
import { unlessFull } from './push-blob.ts';

export interface PushedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  readonly subject: Digest | undefined;
  readonly tags: readonly Tag[];
}

interface Deps {
  readonly index: HostedLedger;
  readonly store: HostedStore;
  readonly notes: HostedNotes;
  readonly clock: Clock;
  readonly policies: Policies;
  /** Of a repository: what is noted and what the ledger says change together. */
  readonly turns: Turns<string>;
}

/** `PUT /v2/<name>/manifests/<reference>`. When it resolves, the manifest and its tags survive a power loss. */
export class PushManifest {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `tags` are those of `?tag=`, beside the reference. `header` is the bare Content-Type, empty where there is none. */
  async put(
    repository: Repository,
    reference: Reference,
    { bytes, header, tags }: { readonly bytes: Uint8Array; readonly header: string; readonly tags: readonly Tag[] },
  ): Promise<Result<PushedManifest, PushFailure>> {
    const digest = digestOf(bytes, reference.kind === 'digest' ? algorithmOf(reference.digest) : 'sha256');
    if (reference.kind === 'digest' && reference.digest !== digest) {
      return fail({ kind: 'digest-invalid', reason: `the manifest is ${digest} and not ${reference.digest}` });
    }
    const read = readManifest(bytes, header);
    if (!read.ok) return read;
    const names = [...new Set(reference.kind === 'tag' ? [reference.tag, ...tags] : tags)];
    const { mediaType } = read.value;
    const manifest = { digest, mediaType, size: bytes.length, tags: names, subject: read.value.kinship.subject };
    return unlessFull(() =>
      this.#deps.turns.take(repository.name, () => this.#store(repository, manifest, bytes, read.value)),
    );
  }

  async #store(
    repository: Repository,
    manifest: PushedManifest,
    bytes: Uint8Array,
    { children, kinship }: ReadManifest,
  ): Promise<Result<PushedManifest, PushFailure>> {
    const { index, store, notes, clock } = this.#deps;
    const { digest, mediaType, tags } = manifest;
    const missing = await index.notHeld(repository, children);
    if (missing.length > 0) return fail({ kind: 'manifest-blob-unknown', missing });
    const mayTag = await this.#mayTag(repository, digest, tags);
    if (!mayTag.ok) return mayTag;

    const pushedAt = clock.now();
    const { subject } = kinship;
    const referrer = subject && { ...kinship, subject };
    const record = { digest, mediaType, size: bytes.length, storedAt: pushedAt };
    await store.host(digest, bytes, () => index.addHostedManifest(repository, record, { children, referrer }));
    await notes.putManifest(repository.name, { digest, mediaType, pushedAt });
    for (const tag of tags) {
      await notes.putTag(repository.name, { tag, digest, pushedAt });
      await index.setHostedTag(repository, tag, digest, pushedAt);
    }
    return ok(manifest);
  }

  async #mayTag(repository: Repository, digest: Digest, tags: readonly Tag[]): Promise<Result<void, PushFailure>> {
    const fixed = tags.filter((tag) => this.#deps.policies.isImmutable(repository.name, tag));
    if (fixed.length === 0) return ok(undefined);
    const there = await this.#deps.index.hostedTags(repository);
    const moved = there.find((entry) => fixed.includes(entry.tag) && entry.digest !== digest);
    if (moved === undefined) return ok(undefined);
    const reason = `${repositoryText(repository)}:${moved.tag} is there already, and may not be overwritten (private.policies)`;
    return fail({ kind: 'tag-immutable', reason });
  }
}

interface ReadManifest {
  readonly mediaType: string;
  readonly children: readonly Child[];
  readonly kinship: Kinship;
}

function readManifest(bytes: Uint8Array, header: string): Result<ReadManifest, PushFailure> {
  const invalid = (reason: string) => fail({ kind: 'manifest-invalid', reason } as const);
  const stated = statedTypeOf(bytes);
  if (!stated.ok) return invalid(stated.failure.reason);
  const mediaType = header === '' ? (stated.value ?? '') : header;
  if (stated.value !== undefined && stated.value !== mediaType) {
    return invalid(`the manifest says that it is ${stated.value}, and Content-Type that it is ${mediaType}`);
  }
  if (!isKnownType(mediaType)) {
    return invalid(`${mediaType === '' ? 'no media type' : mediaType} is no type of manifest that can be hosted here`);
  }
  // The type belongs to the digest, for everybody who pulls the same bytes from anywhere: one who pushes must not choose it.
  if (stated.value === undefined && !mayBeUnstated(mediaType)) {
    return invalid(`a manifest of the type ${mediaType} has to say so in its mediaType`);
  }
  const flaw = flawOf(bytes, mediaType);
  if (flaw !== undefined) return invalid(flaw);
  const children = childrenOf(bytes, mediaType);
  if (!children.ok) return invalid(children.failure.reason);
  const kinship = kinshipOf(bytes, mediaType);
  if (!kinship.ok) return invalid(kinship.failure.reason);
  return ok({ mediaType, children: children.value, kinship: kinship.value });
}
