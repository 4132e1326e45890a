import type { Digest } from '../oci/digest.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Asker } from './asker.ts';
import { denial, explain } from './explain.ts';
import { cannotBeAsked, type Failure, type UpstreamFailure } from './failure.ts';
import { isFresh } from './freshness.ts';
import { limits } from './limits.ts';
import type { BlobRecord, Clock, Ledger } from './ports.ts';
import type { Registries } from './registries.ts';
import { unlessNoRoom } from './unless-no-room.ts';
import { vouchesFor, type Wanted } from './vouch.ts';

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
    return this.prove(repository, content, wanted.kind === 'blob' ? 'blob' : 'manifest', asker);
  }

  /** The same without asking anybody: whether a repository that is linked to the content may serve it to this asker. */
  mayServe(repository: Repository, content: BlobRecord, asker: Asker): boolean {
    if (!this.#registries.names().includes(repository.registry)) return false;
    return (
      content.isPublic ||
      !asker.isAnonymousIn(repository) ||
      this.#registries.of(repository).privateRepositories === 'anyone'
    );
  }

  /** Before the configured account is used for this asker. */
  async mayAsk(repository: Repository, wanted: Wanted, asker: Asker): Promise<Result<void, Failure>> {
    if (!this.#registries.of(repository).upstream.hasCredentials) return ok(undefined);
    return this.mayEnter(repository, wanted, asker);
  }

  /** Asks the upstream whether this repository holds the content, and records a yes. */
  async prove(
    repository: Repository,
    { digest, size }: { readonly digest: Digest; readonly size: number | undefined },
    kind: 'manifest' | 'blob',
    asker: Asker,
  ): Promise<Result<void, Failure>> {
    const wanted: Wanted = kind === 'blob' ? { kind, digest } : { kind, reference: { kind: 'digest', digest } };
    const head = await asker.awaiting(this.#ask(repository, wanted, { size }));
    if (!head.ok) return fail(explain(head.failure, repository, wanted));
    const proof = { digest, isPublic: !head.value.withCredentials };
    await unlessNoRoom(this.#ledger.link(repository, proof, this.#clock.now()));
    return ok(undefined);
  }

  async mayEnter(repository: Repository, wanted: Wanted, asker: Asker): Promise<Result<void, Failure>> {
    if (!asker.isAnonymousIn(repository) || this.#registries.of(repository).privateRepositories === 'anyone')
      return ok(undefined);
    const known = await this.#ledger.visibility(repository);
    if (known !== undefined && isFresh(known.checkedAt, limits.visibilityTtlMs, this.#clock.now()))
      return known.isPublic ? ok(undefined) : fail(this.#refusal(repository, wanted));

    const head = await asker.awaiting(this.#ask(repository, wanted, { anonymously: true }));
    if (head.ok) {
      await unlessNoRoom(this.#ledger.setVisibility(repository, true, this.#clock.now()));
      return ok(undefined);
    }
    if (head.failure.kind === 'denied') {
      await unlessNoRoom(this.#ledger.setVisibility(repository, false, this.#clock.now()));
      return fail(this.#refusal(repository, wanted));
    }
    // What was seen last holds while the upstream cannot say otherwise: a dead link must not open or close anything.
    if (cannotBeAsked(head.failure) && known !== undefined) {
      return known.isPublic ? ok(undefined) : fail(this.#refusal(repository, wanted));
    }
    return fail(explain(head.failure, repository, wanted));
  }

  #refusal(repository: Repository, wanted: Wanted): Failure {
    return this.#registries.of(repository).upstream.hasCredentials
      ? onlyForUsers(repository)
      : denial(repository, wanted);
  }

  async #ask(
    repository: Repository,
    wanted: Wanted,
    { anonymously = false, size }: { readonly anonymously?: boolean; readonly size?: number | undefined },
  ): Promise<Result<{ readonly withCredentials: boolean }, UpstreamFailure>> {
    const { upstream } = this.#registries.of(repository);
    const { name } = repository;
    const ask = { deadlineMs: limits.revalidateDeadlineMs, anonymously };
    if (wanted.kind === 'tags') return upstream.listTags(name, new URLSearchParams({ n: '1' }), ask);
    const head = await (wanted.kind === 'blob'
      ? upstream.headBlob(name, wanted.digest, ask)
      : upstream.headManifest(name, wanted.reference, ask));
    return head.ok && !vouchesFor(head.value, wanted, size) ? fail(notAbout(wanted)) : head;
  }
}

function onlyForUsers(repository: Repository): Failure {
  return {
    kind: 'denied',
    reason:
      `${repositoryText(repository)} is readable only with the account configured for ${repository.registry}; ` +
      `set upstreams["${repository.registry}"].privateRepositories to "anyone" to serve it to clients without an account`,
  };
}

/** For a 2xx that {@link vouchesFor} does not believe. */
export function notAbout(wanted: Wanted): UpstreamFailure & { kind: 'wrong-answer' } {
  return { kind: 'wrong-answer', reason: `the upstream's answer is not about the ${wanted.kind} it was asked for` };
}
