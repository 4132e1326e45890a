import Router, { type RouterContext } from '@koa/router';
import Koa from 'koa';
import type { Mirror } from '../mirror/mirror.ts';
import { type Clock, NoRoom } from '../mirror/ports.ts';
import { parseDigest } from '../oci/digest.ts';
import type { Logger } from '../ops/logger.ts';
import { pullBlob } from './blobs.ts';
import type { Context, State } from './context.ts';
import { type BadRequest, fail, type HttpFailure } from './fail.ts';
import { listRepositories, listTags } from './listings.ts';
import { locate, type Policy } from './locate.ts';
import { pullManifest } from './manifests.ts';
import { logRequests } from './request-log.ts';

export interface AppDeps {
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Logger;
  /** The one in force. */
  readonly policy: () => Policy;
  /** Rejects when store or ledger cannot be used. */
  readonly ready: () => Promise<void>;
  /** True once the service is to end: connections are then closed after their answer. */
  readonly isStopping: () => boolean;
}

/** Everything that is answered on the one port. */
export function createApp(deps: AppDeps): Koa<State> {
  const app = new Koa<State>();
  app.silent = true;
  app.use(logRequests(deps.log));
  app.use(answerErrors(deps));
  app.use(onlyReads);
  app.use(routes(deps));
  app.use((ctx) => fail(ctx, unmatched(ctx.path)));
  return app;
}

function routes(deps: AppDeps): Koa.Middleware<State> {
  const router = new Router<State>();
  const manifest = pullManifest({ ...deps, manifests: deps.mirror.manifests });
  const blob = pullBlob({ ...deps, blobs: deps.mirror.blobs });
  const tags = listTags({ ...deps, listings: deps.mirror.listings });
  const catalog = listRepositories({ ...deps, listings: deps.mirror.listings });

  router.get(['/v2', '/v2/'], (ctx) => {
    ctx.body = {};
  });
  router.get(['/v2/_catalog', '/v2/catalog'], catalog);
  router.get('/v2/*name/manifests/:reference', (ctx) => manifest(ctx, param(ctx, 'name'), param(ctx, 'reference')));
  router.get('/v2/*name/blobs/:digest', (ctx) => blob(ctx, param(ctx, 'name'), param(ctx, 'digest')));
  router.get('/v2/*name/tags/list', (ctx) => tags(ctx, param(ctx, 'name')));
  router.get('/v2/*name/referrers/:digest', (ctx) => referrers(ctx, deps.policy()));
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'up' };
  });
  router.get('/readyz', async (ctx) => readiness(ctx, deps));
  const dispatch = router.routes();
  // The router adds `params` to the context itself; Koa's types cannot know that beforehand.
  return async (ctx, next) => {
    await dispatch(ctx as RouterContext<State>, next);
  };
}

function param(ctx: Context & { readonly params: Readonly<Record<string, string>> }, name: string): string {
  return ctx.params[name] ?? '';
}

/** An empty list would be a lie: what the upstream knows of referrers is not asked for yet. */
function referrers(ctx: Context & { readonly params: Readonly<Record<string, string>> }, policy: Policy): void {
  const repository = locate(ctx, param(ctx, 'name'), policy);
  if (!repository.ok) return fail(ctx, repository.failure);
  const digest = parseDigest(param(ctx, 'digest'));
  if (!digest.ok) return fail(ctx, { kind: 'digest-invalid', reason: digest.failure.reason });
  fail(ctx, {
    kind: 'route-unknown',
    reason: 'referrers of upstream repositories are not served; ask the registry itself',
  });
}

async function readiness(ctx: Context, { ready, log }: AppDeps): Promise<void> {
  try {
    await ready();
    ctx.body = { status: 'ready' };
  } catch (error) {
    log.error({ err: error }, 'not ready');
    ctx.status = 503;
    ctx.body = { status: 'not ready', reason: 'the store or the ledger cannot be used; the log says why' };
  }
}

/** Outermost but for the log: whatever goes wrong inside leaves as an OCI error body, never as a stack trace. */
function answerErrors({ log, isStopping }: AppDeps): Koa.Middleware<State> {
  return async (ctx, next) => {
    if (isStopping()) ctx.set('Connection', 'close');
    if (ctx.path === '/v2' || ctx.path.startsWith('/v2/')) ctx.set('Docker-Distribution-API-Version', 'registry/2.0');
    try {
      await next();
    } catch (error) {
      if (error instanceof URIError)
        return fail(ctx, { kind: 'name-invalid', reason: 'the path is not validly percent-encoded' });
      if (error instanceof NoRoom) return fail(ctx, diskFull);
      log.error({ err: error }, 'a request failed unexpectedly');
      fail(ctx, { kind: 'bug', reason: 'an unexpected error, told in the log under this X-Request-Id' });
    }
  };
}

const diskFull: HttpFailure = {
  kind: 'unavailable',
  reason: "this server's disk is full: free some space, or lower storage.maxSize",
  retryAfterSeconds: 60,
};

const onlyReads: Koa.Middleware<State> = (ctx, next) => {
  if (ctx.method === 'GET' || ctx.method === 'HEAD') return next();
  fail(ctx, { kind: 'method-not-supported', reason: 'this server can be pulled from, and not yet pushed to' });
  return Promise.resolve();
};

function unmatched(path: string): BadRequest {
  return /^\/v2\/.*\/(manifests|blobs|referrers|tags)\b/.test(path)
    ? { kind: 'name-invalid', reason: 'the path does not read /v2/<name>/<resource>/<reference>' }
    : { kind: 'route-unknown', reason: 'there is nothing under this path' };
}
