import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Asker } from './asker.ts';
import { cannotBeAsked, type Failure, type UpstreamFailure } from './failure.ts';
import { limits } from './limits.ts';
import type { BlobRecord, Clock, Ledger, UpstreamHead } from './ports.ts';
import type { Registries } from './registries.ts';

/** What is asked for in a repository. */
export type Wanted =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'tags' };

interface Deps {
  readonly ledger: Ledger;
  readonly registries: Registries;
  readonly clock: Clock;
}

/**
 * Promise 8. Content that an upstream gives to everybody is everybody's, by whatever repository it is asked. Any other is
 * served only through a repository whose upstream has answered 2xx for that very digest, and to those who may have it.
 */
export class Access {
  readonly #ledger: Ledger;
  readonly #registries: Registries;
  readonly #clock: Clock;

  constructor({ ledger, registries, clock }: Deps) {
    this.#ledger = ledger;
    this.#registries = registries;
    this.#clock = clock;
  }

  /** Before content that is stored is served through the repository. */
  async mayRead(
    repository: Repository,
    content: BlobRecord,
    wanted: Wanted,
    asker: Asker,
  ): Promise<Result<void, Failure>> {
    if (content.isPublic) return ok(undefined);
    const mayEnter = await this.mayEnter(repository, wanted, asker);
    if (!mayEnter.ok) return mayEnter;
    if (await this.#ledger.isLinked(repository, content.digest)) return ok(undefined);
    return this.prove(repository, content.digest, wanted.kind === 'blob' ? 'blob' : 'manifest', asker);
  }

  /** Before the configured account is used for this asker. */
  async mayAsk(repository: Repository, wanted: Wanted, asker: Asker): Promise<Result<void, Failure>> {
    if (!this.#registries.of(repository).upstream.hasCredentials) return ok(undefined);
    return this.mayEnter(repository, wanted, asker);
  }

  /** Asks the upstream whether this repository holds the digest, and records a yes. */
  async prove(
    repository: Repository,
    digest: Digest,
    kind: 'manifest' | 'blob',
    asker: Asker,
  ): Promise<Result<void, Failure>> {
    const wanted: Wanted = kind === 'blob' ? { kind, digest } : { kind, reference: { kind: 'digest', digest } };
    const head = await asker.awaiting(this.#ask(repository, wanted, false));
    if (!head.ok) return fail(notThere(head.failure, wanted));
    await this.#ledger.link(repository, { digest, isPublic: !head.value.withCredentials }, this.#clock.now());
    return ok(undefined);
  }

  async mayEnter(repository: Repository, wanted: Wanted, asker: Asker): Promise<Result<void, Failure>> {
    if (!asker.isAnonymous || this.#registries.of(repository).privateRepositories === 'anyone') return ok(undefined);
    const known = await this.#ledger.visibility(repository);
    const isRecent = known !== undefined && this.#clock.now() - known.checkedAt < limits.visibilityTtlMs;
    if (isRecent) return known.isPublic ? ok(undefined) : fail(onlyForUsers(repository));

    const head = await asker.awaiting(this.#ask(repository, wanted, true));
    if (head.ok) {
      await this.#ledger.setVisibility(repository, true, this.#clock.now());
      return ok(undefined);
    }
    if (head.failure.kind === 'denied') {
      await this.#ledger.setVisibility(repository, false, this.#clock.now());
      return fail(onlyForUsers(repository));
    }
    // What was seen last holds while the upstream cannot say otherwise: a dead link must not open or close anything.
    if (cannotBeAsked(head.failure) && known !== undefined) {
      return known.isPublic ? ok(undefined) : fail(onlyForUsers(repository));
    }
    return fail(notThere(head.failure, wanted));
  }

  #ask(repository: Repository, wanted: Wanted, anonymously: boolean): Promise<Result<Vouched, UpstreamFailure>> {
    const { upstream } = this.#registries.of(repository);
    const ask = { deadlineMs: limits.revalidateDeadlineMs, anonymously };
    switch (wanted.kind) {
      case 'blob':
        return upstream.headBlob(repository.name, wanted.digest, ask);
      case 'manifest':
        return upstream.headManifest(repository.name, wanted.reference, ask);
      case 'tags':
        return upstream.listTags(repository.name, new URLSearchParams({ n: '1' }), ask);
    }
  }
}

type Vouched = Pick<UpstreamHead, 'withCredentials'>;

function onlyForUsers(repository: Repository): Failure {
  return {
    kind: 'denied',
    reason:
      `${repositoryText(repository)} is readable only with the account configured for ${repository.registry}; ` +
      `set upstreams["${repository.registry}"].privateRepositories to "anyone" to serve it to clients without an account`,
  };
}

/** The upstream's "not found", as the failure of what was asked. */
export function notThere(failure: UpstreamFailure | Failure, wanted: Wanted): Failure {
  if (failure.kind !== 'not-found') return failure;
  return { kind: unknownKinds[wanted.kind], reason: failure.reason };
}

const unknownKinds = { manifest: 'manifest-unknown', blob: 'blob-unknown', tags: 'name-unknown' } as const;
