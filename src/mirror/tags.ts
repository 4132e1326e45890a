import type { Reference, Tag } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Asker } from './asker.ts';
import { cannotBeAsked, type UpstreamFailure } from './failure.ts';
import { isFresh } from './freshness.ts';
import { limits } from './limits.ts';
import type { Manifest, Manifests } from './manifests.ts';
import type { Clock, Ledger, TagRecord } from './ports.ts';
import { missed, type Provenance } from './provenance.ts';
import type { Registries } from './registries.ts';
import { SingleFlight } from './single-flight.ts';
import { unlessNoRoom } from './unless-no-room.ts';

export interface Resolved {
  readonly manifest: Manifest;
  readonly provenance: Provenance;
}

interface Deps {
  readonly ledger: Ledger;
  readonly manifests: Manifests;
  readonly registries: Registries;
  readonly clock: Clock;
}

/**
 * What a tag stands for. Within its time the ledger answers; after it, one `HEAD` for all askers. The tag moves only to a
 * manifest that is stored, and while the upstream gives no verdict the copy at hand is served.
 */
export class Tags {
  readonly #ledger: Ledger;
  readonly #manifests: Manifests;
  readonly #registries: Registries;
  readonly #clock: Clock;
  readonly #revalidations = new SingleFlight<Result<Resolved, UpstreamFailure>>();

  constructor({ ledger, manifests, registries, clock }: Deps) {
    this.#ledger = ledger;
    this.#manifests = manifests;
    this.#registries = registries;
    this.#clock = clock;
  }

  async resolve(repository: Repository, tag: Tag, asker: Asker): Promise<Result<Resolved, UpstreamFailure>> {
    const known = await this.#ledger.tag(repository, tag);
    const fresh = known && (await this.#readFresh(repository, tag, known));
    if (fresh !== undefined) return ok(fresh);

    const { result, collapsed } = this.#revalidations.run(`${repositoryText(repository)} ${tag}`, () =>
      known === undefined ? this.#fetch(repository, tag) : this.#revalidate(repository, tag, known),
    );
    const resolved = await asker.awaiting(result);
    if (resolved.ok) return collapsed ? ok(markCollapsed(resolved.value)) : resolved;
    // No verdict, or only this asker's time is over: the copy at hand is served, if there is one.
    return cannotBeAsked(resolved.failure) ? this.#serveStale(repository, tag, resolved.failure) : resolved;
  }

  /**
   * A fresh tag whose digest is not complete here, while an older one is, is not enough: its layers would have to come from
   * an upstream that may be gone. Asking it costs a `HEAD`, and decides which of the two to serve.
   */
  async #readFresh(repository: Repository, tag: Tag, known: TagRecord): Promise<Resolved | undefined> {
    if (!isFresh(known.checkedAt, this.#registries.of(repository).tagTtlMs(repository.name, tag), this.#clock.now()))
      return undefined;
    const settled = known.fallback === undefined ? known : await this.#settle(repository, tag);
    if (settled?.digest !== known.digest || settled.fallback !== undefined) return undefined;
    const manifest = await this.#manifests.read(known.digest);
    return manifest && { manifest, provenance: { kind: 'hit', since: known.checkedAt } };
  }

  async #fetch(repository: Repository, tag: Tag): Promise<Result<Resolved, UpstreamFailure>> {
    const fetched = await this.#manifests.fetch(repository, { kind: 'tag', tag }).result;
    if (!fetched.ok) return fetched;
    await this.#point(repository, tag, fetched.value);
    return ok({ manifest: fetched.value, provenance: missed(fetched.value.stored, false) });
  }

  async #revalidate(repository: Repository, tag: Tag, known: TagRecord): Promise<Result<Resolved, UpstreamFailure>> {
    const { upstream } = this.#registries.of(repository);
    const head = await upstream.headManifest(
      repository.name,
      { kind: 'tag', tag },
      { deadlineMs: limits.revalidateDeadlineMs },
    );
    if (!head.ok) {
      if (head.failure.kind === 'not-found') await unlessNoRoom(this.#ledger.removeTag(repository, tag));
      return head;
    }

    const { digest } = head.value;
    const isKnown = digest === known.digest;
    const manifest = isKnown ? await this.#manifests.read(known.digest) : undefined;
    if (manifest !== undefined) {
      await this.#point(repository, tag, manifest);
      return ok({ manifest, provenance: { kind: 'revalidated', stored: false, collapsed: false } });
    }
    // By digest, so that what is stored is what the HEAD spoke of.
    const reference: Reference = digest === undefined ? { kind: 'tag', tag } : { kind: 'digest', digest };
    const fetched = await this.#manifests.fetch(repository, reference).result;
    if (!fetched.ok) return fail(asTrouble(fetched.failure));
    await this.#point(repository, tag, fetched.value);
    return ok({
      manifest: fetched.value,
      provenance: { kind: 'revalidated', stored: fetched.value.stored, collapsed: false },
    });
  }

  /** On a full disk, the fallback is kept for a while longer. */
  async #settle(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    await unlessNoRoom(this.#ledger.settleTag(repository, tag));
    return this.#ledger.tag(repository, tag);
  }

  async #point(repository: Repository, tag: Tag, { record, stored }: Manifest): Promise<void> {
    if (stored) await unlessNoRoom(this.#ledger.setTag(repository, tag, record.digest, this.#clock.now()));
  }

  /** The fallback goes first: as long as there is one, the newer digest is not complete for somebody. */
  async #serveStale(
    repository: Repository,
    tag: Tag,
    because: UpstreamFailure,
  ): Promise<Result<Resolved, UpstreamFailure>> {
    const known = await this.#settle(repository, tag);
    for (const digest of [known?.fallback, known?.digest]) {
      const manifest = digest && (await this.#manifests.read(digest));
      if (known && manifest) return ok({ manifest, provenance: { kind: 'stale', since: known.checkedAt, because } });
    }
    return fail(because);
  }
}

function markCollapsed({ manifest, provenance }: Resolved): Resolved {
  if (provenance.kind !== 'miss' && provenance.kind !== 'revalidated') return { manifest, provenance };
  return { manifest, provenance: { ...provenance, stored: false, collapsed: true } };
}

/** An upstream that names a digest and then has no manifest for it contradicts itself: no verdict on the tag. */
function asTrouble(failure: UpstreamFailure): UpstreamFailure {
  return cannotBeAsked(failure)
    ? failure
    : { kind: 'wrong-answer', reason: `the tag has moved, but its new manifest is not to be had: ${failure.reason}` };
}
