import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Access } from './access.ts';
import type { Asker } from './asker.ts';
import { explain } from './explain.ts';
import { cannotBeAsked, type Failure } from './failure.ts';
import { limits } from './limits.ts';
import type { Ledger, Page, UpstreamTags } from './ports.ts';
import type { Provenance } from './provenance.ts';
import type { Registries } from './registries.ts';
import type { Wanted } from './vouch.ts';

export interface TagsPage {
  readonly tags: readonly string[];
  /** Query parameters of the next page, where there is one. */
  readonly next: URLSearchParams | undefined;
  readonly provenance: Provenance;
}

export interface CatalogPage {
  readonly repositories: readonly string[];
  readonly next: URLSearchParams | undefined;
}

interface Deps {
  readonly access: Access;
  readonly ledger: Ledger;
  readonly registries: Registries;
}

/** Looked at together, for those among them that the asker may see. */
const namesAtOnce = 5_000;

export class Listings {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * The upstream's list; while it cannot be asked, the tags that are stored here.
   *
   * @param query what the client sent of `n`, `last` and `next_page`, the upstream's own business
   * @param page the same, understood
   */
  async tags(
    repository: Repository,
    query: URLSearchParams,
    page: Page,
    asker: Asker,
  ): Promise<Result<TagsPage, Failure>> {
    const wanted: Wanted = { kind: 'tags' };
    const mayAsk = await this.#deps.access.mayEnter(repository, wanted, asker);
    if (!mayAsk.ok) return mayAsk;
    const { upstream } = this.#deps.registries.of(repository);
    const ask = { deadlineMs: limits.askDeadlineMs, signal: AbortSignal.timeout(limits.documentDeadlineMs) };
    const answer = await asker.awaiting(upstream.listTags(repository.name, query, ask));
    if (answer.ok) return ok(passedOn(answer.value));
    if (!cannotBeAsked(answer.failure)) return fail(explain(answer.failure, repository, wanted));

    const { names, next } = await onePage(page, (wish) => this.#deps.ledger.tags(repository, wish));
    if (names.length === 0 && page.after === undefined) return fail(explain(answer.failure, repository, wanted));
    return ok({ tags: names, next, provenance: { kind: 'stale', because: answer.failure } });
  }

  /**
   * What this server can serve without asking anybody, as far as this asker may see it.
   *
   * @param isForUsers with what upstreams give only to the configured account
   */
  async catalog(
    page: Page,
    defaultRegistry: string | undefined,
    { isVisible, isForUsers }: { readonly isVisible: (name: string) => boolean; readonly isForUsers: boolean },
  ): Promise<CatalogPage> {
    const { registries, ledger } = this.#deps;
    const listPrivate = isForUsers ? registries.names() : registries.namesOpenToAnyone();
    const listing = { defaultRegistry, registries: registries.names(), listPrivate };
    const { names, next } = await onePage(page, async ({ after, limit }) => {
      const visible: string[] = [];
      for (let from = after; visible.length < limit; ) {
        const wish = { limit: Math.max(limit, namesAtOnce), ...(from === undefined ? {} : { after: from }) };
        const found = await ledger.repositories(wish, listing);
        visible.push(...found.filter(isVisible));
        from = found.at(-1);
        if (found.length < wish.limit) break;
      }
      return visible.slice(0, limit);
    });
    return { repositories: names, next };
  }
}

function passedOn({ tags, next }: UpstreamTags): TagsPage {
  return { tags, next, provenance: { kind: 'miss', stored: false, collapsed: false, detail: 'never-stored' } };
}

/** Asks for one name more than is wanted, to know whether there is a next page. */
export async function onePage(
  { after, limit }: Page,
  read: (page: Page) => Promise<readonly string[]>,
): Promise<{ readonly names: readonly string[]; readonly next: URLSearchParams | undefined }> {
  if (limit === 0) return { names: [], next: undefined };
  const found = await read({ limit: limit + 1, ...(after === undefined ? {} : { after }) });
  const names = found.slice(0, limit);
  const last = found.length > limit ? names.at(-1) : undefined;
  return { names, next: last === undefined ? undefined : new URLSearchParams({ n: String(limit), last }) };
}
