import Router, { type RouterContext } from '@koa/router';
import Koa from 'koa';
import type { AccessControl } from '../access/access-control.ts';
import type { Hosted } from '../hosted/hosted.ts';
import type { Mirror } from '../mirror/mirror.ts';
import { type Clock, NoRoom } from '../mirror/ports.ts';
import type { Logger } from '../ops/logger.ts';
import { deleteBlob, pullBlob } from './blobs.ts';
import type { Context, State } from './context.ts';
import { fail } from './fail.ts';
import type { BadRequest, HttpFailure } from './failure.ts';
import { identify, ping } from './identify.ts';
import { listRepositories, listTags } from './listings.ts';
import type { Policy } from './locate.ts';
import { ManifestRoutes } from './manifests.ts';
import type { Notify } from './notify.ts';
import { listReferrers } from './referrers.ts';
import { logRequests, type Reach } from './request-log.ts';
import { pingV1, searchRepositories } from './search.ts';
import { ClientLeft } from './send-body.ts';
import { issueToken } from './token.ts';
import { UploadRoutes } from './uploads.ts';

export interface AppDeps {
  readonly mirror: Mirror;
  readonly hosted: Hosted;
  readonly access: AccessControl;
  readonly notify: Notify;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of this program. */
  readonly version: string;
  /** The one in force. */
  readonly policy: () => Policy;
  /** Those in force. */
  readonly reach: () => Reach;
  /** Rejects when store or ledger cannot be used. */
  readonly ready: () => Promise<void>;
  /** True once the service is to end: connections are then closed after their answer. */
  readonly isStopping: () => boolean;
}

/** Everything that is answered on the one port. */
export function createApp(deps: AppDeps): Koa<State> {
  const app = new Koa<State>();
  app.silent = true;
  app.use(logRequests(deps.log, deps.reach));
  app.use(answerErrors(deps));
  app.use(identify(deps.access));
  app.use(routes(deps));
  app.use((ctx) => fail(ctx, unmatched(ctx.path)));
  return app;
}

function routes(deps: AppDeps): Koa.Middleware<State> {
  const router = new Router<State>();
  const { mirror, hosted, access } = deps;
  const manifests = new ManifestRoutes({
    ...deps,
    manifests: mirror.manifests,
    hosted: hosted.pull,
    push: hosted.manifests,
    remove: hosted.remove,
  });
  const uploads = new UploadRoutes({ ...deps, blobs: hosted.blobs });
  const pull = pullBlob({ ...deps, blobs: mirror.blobs, hosted: hosted.pull });
  const removeBlob = deleteBlob({ ...deps, remove: hosted.remove });
  const tags = listTags({ ...deps, listings: mirror.listings, hosted: hosted.discover });
  const referrers = listReferrers({ ...deps, hosted: hosted.discover });

  router.get(['/v2', '/v2/'], ping(access));
  router.get('/token', issueToken(access)).post('/token', issueToken(access));
  router.get(['/v2/_catalog', '/v2/catalog'], listRepositories({ ...deps, listings: mirror.listings }));
  router.get('/v1/_ping', pingV1(deps.version));
  router.get('/v1/search', searchRepositories({ ...deps, search: mirror.search }));
  const manifest = '/v2/*name/manifests/:reference';
  router.get(manifest, (ctx) => manifests.pull(ctx, param(ctx, 'name'), param(ctx, 'reference')));
  router.put(manifest, (ctx) => manifests.push(ctx, param(ctx, 'name'), param(ctx, 'reference')));
  router.delete(manifest, (ctx) => manifests.remove(ctx, param(ctx, 'name'), param(ctx, 'reference')));
  const begin = ['/v2/*name/blobs/uploads', '/v2/*name/blobs/uploads/'];
  router.post(begin, (ctx) => uploads.begin(ctx, param(ctx, 'name')));
  router.all(begin, (ctx) => {
    fail(ctx, { kind: 'method-not-supported', reason: 'uploads are begun here, by POST', allow: 'POST' });
  });
  const upload = '/v2/*name/blobs/uploads/:id';
  router.get(upload, (ctx) => uploads.status(ctx, param(ctx, 'name'), param(ctx, 'id')));
  router.patch(upload, (ctx) => uploads.append(ctx, param(ctx, 'name'), param(ctx, 'id')));
  router.put(upload, (ctx) => uploads.complete(ctx, param(ctx, 'name'), param(ctx, 'id')));
  router.delete(upload, (ctx) => uploads.cancel(ctx, param(ctx, 'name'), param(ctx, 'id')));
  const blob = '/v2/*name/blobs/:digest';
  router.get(blob, (ctx) => pull(ctx, param(ctx, 'name'), param(ctx, 'digest')));
  router.delete(blob, (ctx) => removeBlob(ctx, param(ctx, 'name'), param(ctx, 'digest')));
  router.get('/v2/*name/tags/list', (ctx) => tags(ctx, param(ctx, 'name')));
  router.get('/v2/*name/referrers/:digest', (ctx) => referrers(ctx, param(ctx, 'name'), param(ctx, 'digest')));
  router.get('/healthz', (ctx) => {
    ctx.body = { status: 'up' };
  });
  router.get('/readyz', async (ctx) => readiness(ctx, deps));
  const dispatch = router.routes();
  // The router adds `params` to the context itself; Koa's types cannot know that beforehand.
  return async (ctx, next) => {
    await dispatch(ctx as RouterContext<State>, async () => {
      const allow = methodsAt(router, ctx.path).join(', ');
      if (allow === '') await next();
      else fail(ctx, { kind: 'method-not-supported', reason: `this path takes ${allow}`, allow });
    });
  };
}

function methodsAt(router: Router<State>, path: string): readonly string[] {
  return [...new Set(router.match(path, '').path.flatMap(({ methods }) => methods))];
}

function param(ctx: Context & { readonly params: Readonly<Record<string, string>> }, name: string): string {
  return ctx.params[name] ?? '';
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
      if (error instanceof ClientLeft) return left(ctx, error);
      log.error({ err: error }, 'a request failed unexpectedly');
      fail(ctx, { kind: 'bug', reason: 'an unexpected error, told in the log under this X-Request-Id' });
    }
  };
}

/** There is nobody to answer. */
function left(ctx: Context, { message }: ClientLeft): void {
  ctx.state.entry.outcome = 'client-left';
  ctx.state.entry.reason = message;
  ctx.respond = false;
  ctx.res.destroy();
}

const diskFull: HttpFailure = {
  kind: 'unavailable',
  reason: "this server's disk is full: free some space, or lower storage.maxSize",
  retryAfterSeconds: 60,
};

function unmatched(path: string): BadRequest {
  return /^\/v2\/.*\/(manifests|blobs|referrers|tags)\b/.test(path)
    ? { kind: 'name-invalid', reason: 'the path does not read /v2/<name>/<resource>/<reference>' }
    : { kind: 'route-unknown', reason: 'there is nothing under this path' };
}
