import type { Asker } from '../mirror/asker.ts';
import type { Failure } from '../mirror/failure.ts';
import type { Manifests } from '../mirror/manifests.ts';
import type { BlobStore, Clock, Ledger } from '../mirror/ports.ts';
import type { BlobHead } from '../mirror/pull-blob.ts';
import { type PulledBlob, partOf } from '../mirror/pulled-blob.ts';
import { setAside } from '../mirror/set-aside.ts';
import { StoredBody } from '../mirror/stored-body.ts';
import type { Resolved } from '../mirror/tags.ts';
import type { Digest } from '../oci/digest.ts';
import type { RangeRequest } from '../oci/range.ts';
import type { Reference } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Mounts } from './mounts.ts';

interface Deps {
  readonly ledger: Ledger;
  readonly store: BlobStore;
  readonly manifests: Pick<Manifests, 'read'>;
  readonly mounts: Mounts;
  readonly clock: Clock;
  /** Hosted content is gone or damaged: only another push brings it back. */
  readonly onDamage: (repository: Repository, digest: Digest) => void;
}

/** `GET` and `HEAD` of what is hosted here. A repository serves what it holds by upload or mount, and nothing else. */
export class PullHosted {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async manifest(repository: Repository, reference: Reference): Promise<Result<Resolved, Failure>> {
    const { ledger, manifests, clock } = this.#deps;
    const digest =
      reference.kind === 'digest' ? reference.digest : (await ledger.tag(repository, reference.tag))?.digest;
    if (digest === undefined || !(await ledger.isLinked(repository, digest))) {
      return fail(unknownManifest(repository, reference));
    }
    // What was pushed as a blob is none, whatever is in it.
    if ((await ledger.manifest(digest)) === undefined) return fail(unknownManifest(repository, reference));
    const manifest = await manifests.read(digest);
    if (manifest === undefined) {
      this.#deps.onDamage(repository, digest);
      return fail(unknownManifest(repository, reference));
    }
    ledger.touch(digest, clock.now());
    return ok({ manifest, provenance: { kind: 'hosted' } });
  }

  /** What somebody may push here who may also pull it elsewhere is mounted by asking for it: an engine asks before it uploads. */
  async head(repository: Repository, digest: Digest, asker: Asker): Promise<Result<BlobHead, Failure>> {
    const { ledger, mounts, clock } = this.#deps;
    const isHeld = await ledger.isLinked(repository, digest);
    if (!isHeld && !(await mounts.onDemand(repository, digest, asker))) return fail(unknownBlob(repository, digest));
    const opened = await this.#open(repository, digest);
    if (!opened.ok) return opened;
    await opened.value[Symbol.asyncDispose]();
    // It is about to be used: garbage collection is to wait anew.
    ledger.touch(digest, clock.now());
    return ok({ size: opened.value.size, provenance: { kind: 'hosted' } });
  }

  async blob(
    repository: Repository,
    digest: Digest,
    range: RangeRequest | undefined,
  ): Promise<Result<PulledBlob, Failure>> {
    const { ledger, clock } = this.#deps;
    if (!(await ledger.isLinked(repository, digest))) return fail(unknownBlob(repository, digest));
    const opened = await this.#open(repository, digest);
    if (!opened.ok) return opened;
    ledger.touch(digest, clock.now());
    return partOf(opened.value, range, { kind: 'hosted' });
  }

  async #open(repository: Repository, digest: Digest): Promise<Result<StoredBody, Failure>> {
    const { ledger, store } = this.#deps;
    const record = await ledger.blob(digest);
    // It was damaged, and set aside then.
    if (record === undefined) return fail(unknownBlob(repository, digest));
    const isDamaged = async () => {
      this.#deps.onDamage(repository, digest);
      await setAside(record, this.#deps);
    };
    const reader = await store.open(digest);
    if (reader?.size === record.size) return ok(new StoredBody(reader, isDamaged));
    await reader?.[Symbol.asyncDispose]();
    await isDamaged();
    return fail(unknownBlob(repository, digest));
  }
}

function unknownManifest(repository: Repository, reference: Reference): Failure {
  const what = reference.kind === 'tag' ? `tag ${reference.tag}` : `manifest ${reference.digest}`;
  return { kind: 'manifest-unknown', reason: `${repositoryText(repository)}, which is hosted here, has no ${what}` };
}

export function unknownBlob(repository: Repository, digest: Digest): Failure & { readonly kind: 'blob-unknown' } {
  return { kind: 'blob-unknown', reason: `${repositoryText(repository)}, which is hosted here, has no blob ${digest}` };
}
