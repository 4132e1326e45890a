import type { Digest } from '../oci/digest.ts';
import { type RangeRequest, resolveRange } from '../oci/range.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { type Access, notAbout } from './access.ts';
import { AsideRange, mayGoAside } from './aside-range.ts';
import type { Asker } from './asker.ts';
import type { BlobBody } from './blob-body.ts';
import { explain } from './explain.ts';
import type { Failure, UpstreamFailure } from './failure.ts';
import { letGo } from './fill.ts';
import type { Flights, Joined } from './flights.ts';
import { limits } from './limits.ts';
import type { BlobStore, Clock, Ledger, UpstreamBlob } from './ports.ts';
import { missed, type Provenance } from './provenance.ts';
import { type PulledBlob, partOf, pulledBlob } from './pulled-blob.ts';
import type { Registries } from './registries.ts';
import { setAside } from './set-aside.ts';
import { StoredBody } from './stored-body.ts';
import { unlessNoRoom } from './unless-no-room.ts';
import { UpstreamBody } from './upstream-body.ts';
import { vouchesFor } from './vouch.ts';

export interface BlobHead {
  readonly size: number | undefined;
  readonly provenance: Provenance;
}

interface Deps {
  readonly access: Access;
  readonly flights: Flights;
  readonly store: BlobStore;
  readonly ledger: Ledger;
  readonly registries: Registries;
  readonly clock: Clock;
}

/** `GET` and `HEAD /v2/<name>/blobs/<digest>` of an upstream repository. */
export class PullBlob {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async pull(
    repository: Repository,
    digest: Digest,
    range: RangeRequest | undefined,
    asker: Asker,
  ): Promise<Result<PulledBlob, Failure>> {
    for (;;) {
      const opened = await this.#openStored(repository, digest, asker);
      if (!opened.ok) return opened;
      if (opened.value !== undefined) return partOf(opened.value.body, range, opened.value.provenance);

      const mayAsk = await this.#deps.access.mayAsk(repository, { kind: 'blob', digest }, asker);
      if (!mayAsk.ok) return mayAsk;
      const joined = await this.#deps.flights.join(repository, digest, asker);
      if (joined.ok) return this.#follow(repository, joined.value, range);
      if (joined.failure.kind === 'no-room') return this.#passThrough(repository, digest, range, asker);
      if (joined.failure.kind !== 'stored-already') return fail(joined.failure);
    }
  }

  async head(repository: Repository, digest: Digest, asker: Asker): Promise<Result<BlobHead, Failure>> {
    const opened = await this.#openStored(repository, digest, asker);
    if (!opened.ok) return opened;
    if (opened.value !== undefined) {
      await using body = opened.value.body;
      return ok({ size: body.size, provenance: opened.value.provenance });
    }
    const wanted = { kind: 'blob', digest } as const;
    const mayAsk = await this.#deps.access.mayAsk(repository, wanted, asker);
    if (!mayAsk.ok) return mayAsk;
    const { upstream } = this.#deps.registries.of(repository);
    const head = await asker.awaiting(upstream.headBlob(repository.name, digest, { deadlineMs: limits.askDeadlineMs }));
    if (!head.ok) return fail(explain(head.failure, repository, wanted));
    if (!vouchesFor(head.value, wanted)) return fail(explain(notAbout(wanted), repository, wanted));
    const proof = { digest, isPublic: !head.value.withCredentials };
    await unlessNoRoom(this.#deps.ledger.link(repository, proof, this.#deps.clock.now()));
    return ok({
      size: head.value.size,
      provenance: { kind: 'miss', stored: false, collapsed: false, detail: 'never-stored' },
    });
  }

  /** A hit. A file that is gone, or has another size than it had, is a miss, and is cleared away. */
  async #openStored(
    repository: Repository,
    digest: Digest,
    asker: Asker,
  ): Promise<Result<{ readonly body: BlobBody; readonly provenance: Provenance } | undefined, Failure>> {
    const { access, ledger, store, clock } = this.#deps;
    const record = await ledger.blob(digest);
    if (record === undefined) return ok(undefined);
    const mayRead = await access.mayRead(repository, record, { kind: 'blob', digest }, asker);
    if (!mayRead.ok) return mayRead;
    const reader = await store.open(digest);
    if (reader?.size === record.size) {
      ledger.touch(digest, clock.now());
      const body = new StoredBody(reader, () => setAside(record, this.#deps));
      return ok({ body, provenance: { kind: 'hit', since: record.storedAt } });
    }
    await reader?.[Symbol.asyncDispose]();
    await setAside(record, this.#deps);
    return ok(undefined);
  }

  async #follow(
    repository: Repository,
    { flight, body, collapsed }: Joined,
    range: RangeRequest | undefined,
  ): Promise<Result<PulledBlob, Failure>> {
    const pulled = await partOf(body, range, missed(true, collapsed));
    if (!pulled.ok || range === undefined || body.size === undefined || pulled.value.range === undefined) return pulled;
    if (!mayGoAside(range, pulled.value.range, body.size)) return pulled;
    const { upstream } = this.#deps.registries.of(repository);
    const aside = new AsideRange({
      flight,
      followed: body,
      range: pulled.value.range,
      clock: this.#deps.clock,
      upstream,
      name: repository.name,
      digest: flight.digest,
    });
    return partOf(aside, range, pulled.value.provenance);
  }

  /**
   * No room: straight from the upstream to this one client. A range that reaches the end cannot be judged by the digest, so
   * it is answered with the whole blob, as RFC 9110 14.2 allows.
   */
  async #passThrough(
    repository: Repository,
    digest: Digest,
    range: RangeRequest | undefined,
    asker: Asker,
  ): Promise<Result<PulledBlob, Failure>> {
    const { upstream } = this.#deps.registries.of(repository);
    const size = await this.#deps.ledger.statedSize(repository, digest);
    const part = range && size !== undefined ? resolveRange(range, size) : undefined;
    const ask = { deadlineMs: limits.askDeadlineMs };
    if (size !== undefined && part !== undefined && part.last < size - 1) {
      const answer = await answered(upstream.getBlob(repository.name, digest, part, ask), asker);
      if (!answer.ok) return fail(explain(answer.failure, repository, { kind: 'blob', digest }));
      if (answer.value.start === part.first && answer.value.size === size)
        return ok(pulledBlob(new UpstreamBody(answer.value), part, missed(false, false)));
      await letGo(answer.value);
    }
    const answer = await answered(upstream.getBlob(repository.name, digest, { first: 0 }, ask), asker);
    if (!answer.ok) return fail(explain(answer.failure, repository, { kind: 'blob', digest }));
    return ok(pulledBlob(new UpstreamBody(answer.value, digest), undefined, missed(false, false)));
  }
}

/** A body that comes when its asker does not wait for it any more is let go of. */
async function answered(
  asking: Promise<Result<UpstreamBlob, UpstreamFailure>>,
  asker: Asker,
): Promise<Result<UpstreamBlob, UpstreamFailure>> {
  const answer = await asker.awaiting(asking);
  if (!answer.ok) {
    void asking.then(
      (late) => (late.ok ? letGo(late.value) : undefined),
      () => undefined,
    );
  }
  return answer;
}
