import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Access } from './access.ts';
import type { Asker } from './asker.ts';
import { explain } from './explain.ts';
import type { Failure } from './failure.ts';
import type { Manifests } from './manifests.ts';
import type { Clock, Ledger } from './ports.ts';
import { missed } from './provenance.ts';
import type { Resolved, Tags } from './tags.ts';
import type { Wanted } from './vouch.ts';

interface Deps {
  readonly access: Access;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly ledger: Ledger;
  readonly clock: Clock;
}

/** `GET` and `HEAD /v2/<name>/manifests/<reference>` of an upstream repository. */
export class PullManifest {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async pull(repository: Repository, reference: Reference, asker: Asker): Promise<Result<Resolved, Failure>> {
    const resolved =
      reference.kind === 'tag'
        ? await this.#byTag(repository, reference, asker)
        : await this.#byDigest(repository, reference.digest, asker);
    if (resolved.ok) this.#deps.ledger.touch(resolved.value.manifest.record.digest, this.#deps.clock.now());
    return resolved;
  }

  async #byTag(
    repository: Repository,
    reference: Reference & { kind: 'tag' },
    asker: Asker,
  ): Promise<Result<Resolved, Failure>> {
    const wanted: Wanted = { kind: 'manifest', reference };
    const mayAsk = await this.#deps.access.mayAsk(repository, wanted, asker);
    if (!mayAsk.ok) return mayAsk;
    const resolved = await this.#deps.tags.resolve(repository, reference.tag, asker);
    if (!resolved.ok) return fail(explain(resolved.failure, repository, wanted));
    // The account may be gone from the configuration since this tag was fetched with it.
    const mayRead = await this.#deps.access.mayRead(repository, resolved.value.manifest.record, wanted, asker);
    return mayRead.ok ? resolved : mayRead;
  }

  async #byDigest(repository: Repository, digest: Digest, asker: Asker): Promise<Result<Resolved, Failure>> {
    const { access, manifests } = this.#deps;
    const reference: Reference = { kind: 'digest', digest };
    const wanted: Wanted = { kind: 'manifest', reference };
    const stored = await manifests.read(digest);
    if (stored !== undefined) {
      const mayRead = await access.mayRead(repository, stored.record, wanted, asker);
      if (!mayRead.ok) return mayRead;
      return ok({ manifest: stored, provenance: { kind: 'hit', since: stored.record.storedAt } });
    }
    const mayAsk = await access.mayAsk(repository, wanted, asker);
    if (!mayAsk.ok) return mayAsk;
    const { result, collapsed } = manifests.fetch(repository, reference);
    const fetched = await asker.awaiting(result);
    if (!fetched.ok) return fail(explain(fetched.failure, repository, wanted));
    return ok({ manifest: fetched.value, provenance: missed(fetched.value.stored, collapsed) });
  }
}
