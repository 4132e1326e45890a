import { isOfficial } from '../mirror/route.ts';
import type { Hit, Search } from '../mirror/search.ts';
import { parseSearchTerm, type SearchTerm } from '../mirror/search-term.ts';
import { fail as failed, ok, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import type { Policy } from './locate.ts';

interface Deps {
  readonly search: Search;
  readonly policy: () => Policy;
}

/** Hits on a page where the client asks for none, and the most it may ask for: those of `docker search --limit`. */
const defaultPage = 25;
const maxPage = 100;

interface Page {
  readonly size: number;
  /** From 1. */
  readonly number: number;
}

/** `GET /v1/_ping`: says that searches are answered here, and take the account of this server (moby, search_endpoint_v1.go). */
export function pingV1(version: string) {
  return (ctx: Context): void => {
    ctx.set({ 'X-Docker-Registry-Version': version, 'X-Docker-Registry-Standalone': 'true' });
    ctx.body = { standalone: true };
  };
}

/** `GET /v1/search`: what `docker search HOST/TERM` prints. */
export function searchRepositories({ search, policy }: Deps) {
  return async (ctx: Context): Promise<void> => {
    const term = readTerm(ctx);
    if (!term.ok) return fail(ctx, term.failure);
    const page = readPage(ctx);
    if (!page.ok) return fail(ctx, page.failure);
    const { visitor } = ctx.state;
    const { table, anonymousPull } = policy();
    if (visitor === undefined) throw new Error('nobody has looked who asks');
    if (visitor.listsAnonymously && !anonymousPull) return fail(ctx, visitor.listRefusal());

    const hits = await search.find(term.value, { table, mayPull: (repository) => visitor.mayList(repository) });
    const { size, number } = page.value;
    ctx.state.entry.outcome = 'search';
    ctx.body = {
      query: term.value,
      num_results: hits.length,
      num_pages: Math.ceil(hits.length / size),
      page: number,
      page_size: size,
      results: hits.slice((number - 1) * size, number * size).map(line),
    };
  };
}

function line({ name, repository, from, about }: Hit) {
  return {
    name,
    description: describe(from, about?.description ?? ''),
    star_count: about?.stars ?? 0,
    is_official: about?.isOfficial ?? isOfficial(repository),
    is_automated: about?.isAutomated ?? false,
  };
}

function describe(from: Hit['from'], text: string): string {
  if (from === 'upstream') return text;
  return text === '' ? `${from} here` : `${from} here: ${text}`;
}

function readTerm(ctx: Context): Result<SearchTerm, BadRequest> {
  const { q } = ctx.query;
  if (Array.isArray(q)) return failed({ kind: 'name-invalid', reason: 'q is given more than once' });
  const term = parseSearchTerm(q ?? '');
  return term.ok ? term : failed({ kind: 'name-invalid', reason: `q: ${term.failure.reason}` });
}

function readPage(ctx: Context): Result<Page, BadRequest> {
  const { n, page } = ctx.query;
  const size = wholeNumber(n, defaultPage);
  const number = wholeNumber(page, 1);
  if (size === undefined || number === undefined) {
    return failed({ kind: 'page-invalid', reason: 'n and page are whole numbers from 1, of at most nine digits' });
  }
  return ok({ size: Math.min(size, maxPage), number });
}

function wholeNumber(text: string | string[] | undefined, otherwise: number): number | undefined {
  if (text === undefined) return otherwise;
  return typeof text === 'string' && /^0*[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}
