import Router, { type RouterContext } from '@koa/router';
import Koa, { type Middleware, type ParameterizedContext } from 'koa';
import type { Logger } from '../ops/logger.ts';
import { checked, readBody } from './body.ts';
import { fail } from './fail.ts';
import { sendJob, sendLines } from './lines.ts';
import type { Job, Operations } from './operations.ts';
import { refusalOf } from './refusal.ts';
import { apiPrefix, collectRequest, pinRequest, verifyRequest } from './wire.ts';

export interface AdminDeps {
  readonly operations: Operations;
  readonly log: Logger;
  /** Aborts when the daemon is to end. */
  readonly stopping: AbortSignal;
}

/** Everything that is answered on the admin socket. Who may connect to it may do all of it. */
export function createAdminApp(deps: AdminDeps): Koa {
  const app = new Koa();
  app.silent = true;
  app.use(answerErrors(deps));
  app.use(routes(deps));
  app.use((ctx) => fail(ctx, { kind: 'route-unknown', reason: 'there is nothing under this path and method' }));
  return app;
}

function routes(deps: AdminDeps): Middleware {
  const { operations, log, stopping } = deps;
  const router = new Router({ prefix: apiPrefix });
  router.get('/status', async (ctx) => {
    ctx.body = await operations.status();
  });
  router.get('/images', (ctx) => sendLines(ctx, operations.images(), stopping));
  router.get('/pins', async (ctx) => {
    ctx.body = await operations.pins();
  });
  router.post('/pins', async (ctx) => {
    const wanted = await readBody(ctx.req, pinRequest);
    if (!wanted.ok) return fail(ctx, wanted.failure);
    ctx.body = await operations.pin(wanted.value.pattern);
    log.info(wanted.value, 'pinned by an operator');
  });
  // Bodies of DELETE get lost on the way through some clients.
  router.delete('/pins', async (ctx) => {
    const wanted = checked({ ...ctx.query }, pinRequest);
    if (!wanted.ok) return fail(ctx, wanted.failure);
    ctx.body = await operations.unpin(wanted.value.pattern);
    log.info(wanted.value, 'unpinned by an operator');
  });
  router.post('/gc', async (ctx) => {
    const wanted = await readBody(ctx.req, collectRequest);
    if (!wanted.ok) return fail(ctx, wanted.failure);
    await run(ctx, deps, async (job) => {
      const collected = await operations.collectGarbage(wanted.value, job);
      const { dryRun, removed, bytes } = collected;
      log.info({ dryRun, removed: removed.length, bytes }, 'garbage collected for an operator');
      return collected;
    });
  });
  router.post('/verify', async (ctx) => {
    const wanted = await readBody(ctx.req, verifyRequest);
    if (!wanted.ok) return fail(ctx, wanted.failure);
    await run(ctx, deps, async (job) => {
      const verified = await operations.verify(wanted.value, job);
      const { blobs, bytes, damaged } = verified;
      log.info({ ...wanted.value, blobs, bytes, damaged: damaged.length }, 'verified for an operator');
      return verified;
    });
  });
  const dispatch = router.routes();
  // The router adds `params` to the context itself; Koa's types cannot know that beforehand.
  return async (ctx, next) => {
    await dispatch(ctx as unknown as RouterContext, next);
  };
}

function run<T>(
  ctx: ParameterizedContext,
  { log, stopping }: AdminDeps,
  work: (job: Job) => Promise<T>,
): Promise<void> {
  const onBug = (error: unknown) => log.error({ err: error, path: ctx.path }, 'an operation failed unexpectedly');
  return sendJob(ctx, work, { stopping, onBug });
}

/** Whatever goes wrong inside leaves as one sentence, never as a stack trace. */
function answerErrors({ log, stopping }: AdminDeps): Middleware {
  return async (ctx, next) => {
    // One request for each connection: so none is left open that would hold up the end.
    ctx.set('Connection', 'close');
    try {
      await next();
    } catch (error) {
      if (ctx.res.destroyed) return;
      const refusal = refusalOf(error);
      if (refusal !== undefined) return fail(ctx, { kind: 'refused', reason: refusal });
      if (stopping.aborted) return fail(ctx, { kind: 'stopping', reason: 'the daemon is stopping' });
      log.error({ err: error, path: ctx.path }, 'an operation failed unexpectedly');
      fail(ctx, { kind: 'bug', reason: 'an unexpected error, told in the log of the daemon' });
    }
  };
}
