import { setImmediate as nextTurn } from 'node:timers/promises';
import { hosted, hostedRepository, type Repository, repositoryText } from '../oci/repository-name.ts';
import { clientName } from './client-name.ts';
import { limits } from './limits.ts';
import type { Clock, Ledger, RepositorySearch, Upstream, UpstreamHit } from './ports.ts';
import type { Registries } from './registries.ts';
import { RememberedSearch } from './remembered-search.ts';
import { isOfficial, officialPrefix, type RoutingTable, registryInFront } from './route.ts';
import type { SearchTerm } from './search-term.ts';
import { type UpstreamQuery, upstreamQuery } from './upstream-query.ts';

/** A repository that can be pulled from this server. */
export interface Hit {
  /** What is typed behind this server's name to pull it. */
  readonly name: string;
  readonly repository: Repository;
  readonly from: 'hosted' | 'cached' | 'upstream';
  /** What its upstream's own search says of it. */
  readonly about: UpstreamHit | undefined;
}

export interface Searcher {
  readonly table: RoutingTable;
  readonly mayPull: (repository: Repository) => boolean;
}

interface Found {
  readonly repository: Repository;
  readonly about: UpstreamHit;
}

interface Deps {
  readonly ledger: Ledger;
  readonly registries: Registries;
  readonly clock: Clock;
}

/** Repositories by a part of their name: those hosted here, those cached, and those that an upstream's own search finds. */
export class Search {
  readonly #deps: Deps;
  readonly #remembered = new WeakMap<NonNullable<Upstream['search']>, RememberedSearch>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** As far as this asker may see them; each once, what is hosted first. */
  async find(term: SearchTerm, searcher: Searcher): Promise<readonly Hit[]> {
    const query = upstreamQuery(term, searcher.table);
    const text = withoutDefault(term, searcher.table);
    const own = await this.#hosted(text, query, searcher);
    const [cached, found] = await Promise.all([
      this.#cached(text, searcher, limits.maxLocalHits - own.hits.length),
      query === undefined || own.isTold ? [] : this.#ask(query),
    ]);
    return merged([...own.hits, ...cached], found, searcher);
  }

  /** All names are compared with the query, whoever may see them: `isTold` if sending it would tell of one. */
  async #hosted(
    text: string,
    query: UpstreamQuery | undefined,
    searcher: Searcher,
  ): Promise<{ readonly hits: readonly Hit[]; readonly isTold: boolean }> {
    const hits: Hit[] = [];
    let isTold = false;
    const holds = query?.text ?? text;
    for await (const { name, isStored } of this.#matches({
      registry: hosted,
      prefix: '',
      holds,
      heldBy: query?.term ?? '',
    })) {
      isTold ||= query?.tellsOf(name) === true;
      if (isStored && name.includes(text)) hits.push(...visible(hostedRepository(name), 'hosted', searcher));
      if (hits.length >= limits.maxLocalHits && (isTold || query === undefined)) break;
    }
    return { hits: hits.slice(0, limits.maxLocalHits), isTold };
  }

  async #cached(text: string, searcher: Searcher, room: number): Promise<readonly Hit[]> {
    const { registries } = this.#deps;
    const { defaultRegistry } = searcher.table;
    const openToAnyone = new Set(registries.namesOpenToAnyone());
    const hits: Hit[] = [];
    for (const registry of inOrder(registries.names(), defaultRegistry)) {
      const prefix = registry === defaultRegistry ? '' : `${registry}/`;
      if (hits.length >= room) break;
      for await (const { name, isStored, isPublic } of this.#matches({ registry, prefix, holds: text, heldBy: '' })) {
        const isListed = isStored && (isPublic || openToAnyone.has(registry));
        if (isListed && isNamedSo({ registry, name }, text))
          hits.push(...visible({ registry, name }, 'cached', searcher));
        if (hits.length >= room) break;
      }
    }
    return hits;
  }

  /** Looks at a slice of the names at a time, so that others have their turn however many there are. */
  async *#matches(search: Omit<RepositorySearch, 'after' | 'look'>) {
    for (let after: string | undefined; ; ) {
      const slice = await this.#deps.ledger.searchRepositories({ ...search, after, look: limits.repositoriesPerLook });
      yield* slice.matches;
      after = slice.next;
      if (after === undefined) return;
      await nextTurn();
    }
  }

  async #ask({ registry, text }: UpstreamQuery): Promise<readonly Found[]> {
    const search = this.#deps.registries.searchOf(registry);
    if (search === undefined) return [];
    const remembered = this.#remembered.get(search) ?? new RememberedSearch(search, this.#deps.clock);
    this.#remembered.set(search, remembered);
    const hits = await remembered.hits(text);
    return hits.map((about) => ({ repository: { registry, name: about.name }, about }));
  }
}

/** The default registry is where names without one go: in front of a name it says nothing. */
function withoutDefault(term: SearchTerm, table: RoutingTable): string {
  const named = registryInFront(term, table);
  return named !== undefined && named.registry === table.defaultRegistry ? named.rest : term;
}

/** None if it may not be pulled, or no name leads to it: patterns that make names private may have been added since. */
function visible(repository: Repository, from: Hit['from'], { table, mayPull }: Searcher): readonly Hit[] {
  const name = clientName(repository, table);
  return name !== undefined && mayPull(repository) ? [{ name, repository, from, about: undefined }] : [];
}

/** What is here keeps its place, and learns what the upstream says of it. */
function merged(local: readonly Hit[], found: readonly Found[], searcher: Searcher): readonly Hit[] {
  const hits = new Map(local.map((hit) => [repositoryText(hit.repository), hit]));
  for (const { repository, about } of found) {
    const text = repositoryText(repository);
    const [hit] = hits.has(text) ? [hits.get(text)] : visible(repository, 'upstream', searcher);
    if (hit !== undefined) hits.set(text, { ...hit, about });
  }
  return [...hits.values()];
}

/** `lib` is not in the name of every official image, but `library/alpine` is one. */
function isNamedSo(repository: Repository, text: string): boolean {
  const isFull = text.includes('/') || !isOfficial(repository);
  return isFull || repository.name.slice(officialPrefix.length).includes(text);
}

function inOrder(names: readonly string[], first: string | undefined): readonly string[] {
  const others = names.filter((name) => name !== first).sort();
  return first === undefined ? others : [first, ...others];
}
