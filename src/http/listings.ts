import type { Discover } from '../hosted/discover.ts';
import type { Listings } from '../mirror/listings.ts';
import type { Clock, Page } from '../mirror/ports.ts';
import { isHosted } from '../oci/repository-name.ts';
import { fail as failed, ok, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import { canonical, locate, type Policy } from './locate.ts';
import { truthHeaders } from './truth.ts';

interface Deps {
  readonly listings: Listings;
  readonly hosted: Discover;
  readonly clock: Clock;
  readonly policy: () => Policy;
}

/** Names on a page where the client asks for none, and the most it may ask for. */
const maxPage = 1_000;
const maxLastLength = 300;
/** What of the query belongs to the list; `next_page` is Quay's own way of naming the next one. */
const listParameters = ['n', 'last', 'next_page'];

/** `GET /v2/<name>/tags/list`. */
export function listTags({ listings, hosted, clock, policy }: Deps) {
  return async (ctx: Context, name: string): Promise<void> => {
    const repository = locate(ctx, name, policy(), 'pull');
    if (!repository.ok) return fail(ctx, repository.failure);
    const page = readPage(ctx);
    if (!page.ok) return fail(ctx, page.failure);
    if (isHosted(repository.value)) {
      const { tags, next } = await hosted.tags(repository.value, page.value);
      ctx.state.entry.outcome = 'hosted';
      linkNext(ctx, next);
      ctx.body = { name, tags };
      return;
    }
    const listed = await listings.tags(repository.value, listQuery(ctx), page.value, ctx.state.asker);
    if (!listed.ok) return fail(ctx, listed.failure);
    const { tags, next, provenance } = listed.value;
    ctx.state.entry.outcome = provenance.kind;
    if (provenance.kind === 'stale') ctx.state.entry.reason = provenance.because.reason;
    ctx.set(truthHeaders(provenance, clock.now()));
    linkNext(ctx, next);
    ctx.body = { name, tags };
  };
}

/** `GET /v2/_catalog`: what this server can serve. */
export function listRepositories({ listings, policy }: Pick<Deps, 'listings' | 'policy'>) {
  return async (ctx: Context): Promise<void> => {
    const page = readPage(ctx);
    if (!page.ok) return fail(ctx, page.failure);
    const { visitor } = ctx.state;
    if (visitor === undefined) throw new Error('nobody has looked who asks');
    const isVisible = (name: string) => {
      const repository = canonical(name, undefined, policy());
      return repository.ok && visitor.mayList(repository.value);
    };
    const { repositories, next } = await listings.catalog(page.value, policy().table.defaultRegistry, {
      isVisible,
      isForUsers: visitor.listsForUsers,
    });
    // Rules may let everybody pull something all the same: that is listed without a challenge.
    if (repositories.length === 0 && visitor.listsAnonymously && !policy().anonymousPull) {
      return fail(ctx, visitor.listRefusal());
    }
    linkNext(ctx, next);
    ctx.body = { repositories };
  };
}

function readPage(ctx: Context): Result<Page, BadRequest> {
  const { n, last } = ctx.query;
  if (Array.isArray(n) || (n !== undefined && !/^\d{1,9}$/.test(n))) {
    return failed({ kind: 'page-invalid', reason: 'n is a whole number of at most nine digits' });
  }
  if (Array.isArray(last) || (last !== undefined && last.length > maxLastLength)) {
    return failed({ kind: 'page-invalid', reason: `last is one name of at most ${maxLastLength} characters` });
  }
  return ok({
    limit: n === undefined ? maxPage : Math.min(Number(n), maxPage),
    ...(last === undefined ? {} : { after: last }),
  });
}

function listQuery(ctx: Context): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of listParameters) {
    const value = ctx.query[name];
    if (typeof value === 'string') query.set(name, value);
  }
  return query;
}

/** The next page under the very name the client used, so that it comes back by the same route. */
export function linkNext(ctx: Context, next: URLSearchParams | undefined): void {
  if (next === undefined) return;
  const query = new URLSearchParams(next);
  if (typeof ctx.query['ns'] === 'string') query.set('ns', ctx.query['ns']);
  ctx.set('Link', `<${ctx.path}?${query.toString()}>; rel="next"`);
}
