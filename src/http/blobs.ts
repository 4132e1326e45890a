import type { PullHosted } from '../hosted/pull-hosted.ts';
import type { Remove } from '../hosted/remove.ts';
import { type BlobBody, BrokenBody } from '../mirror/blob-body.ts';
import type { Clock } from '../mirror/ports.ts';
import type { PullBlob } from '../mirror/pull-blob.ts';
import type { PulledBlob } from '../mirror/pulled-blob.ts';
import type { Digest } from '../oci/digest.ts';
import { parseRange } from '../oci/range.ts';
import { isHosted, type Repository } from '../oci/repository-name.ts';
import { notModified } from './conditional.ts';
import type { Context } from './context.ts';
import { empty } from './empty.ts';
import { fail } from './fail.ts';
import { locate, locateHosted, type Policy } from './locate.ts';
import { readDigest } from './read-digest.ts';
import { ClientLeft, sendBody } from './send-body.ts';
import { truthHeaders } from './truth.ts';

interface Deps {
  readonly blobs: PullBlob;
  readonly hosted: PullHosted;
  readonly clock: Clock;
  readonly policy: () => Policy;
}

/** `GET` and `HEAD /v2/<name>/blobs/<digest>`. */
export function pullBlob({ blobs, hosted, clock, policy }: Deps) {
  const answerHead = async (ctx: Context, repository: Repository, digest: Digest): Promise<void> => {
    const source = isHosted(repository) ? hosted : blobs;
    const head = await source.head(repository, digest, ctx.state.asker);
    if (!head.ok) return fail(ctx, head.failure);
    describe(ctx, digest, truthHeaders(head.value.provenance, clock.now()));
    ctx.state.entry.outcome = head.value.provenance.kind;
    if (notModified(ctx, etagOf(digest))) return;
    ctx.status = 200;
    if (head.value.size !== undefined) ctx.length = head.value.size;
    // Koa would take the absent body for an empty one, and its length for 0.
    ctx.respond = false;
    ctx.res.end();
  };

  return async (ctx: Context, name: string, digestText: string): Promise<void> => {
    const repository = locate(ctx, name, policy(), 'pull');
    if (!repository.ok) return fail(ctx, repository.failure);
    const digest = readDigest(ctx, digestText);
    if (!digest.ok) return fail(ctx, digest.failure);

    if (ctx.method === 'HEAD') return answerHead(ctx, repository.value, digest.value);
    const range = parseRange(rangeHeader(ctx, digest.value));
    if (range === 'invalid') return fail(ctx, { kind: 'range-invalid', reason: 'the Range header makes no sense' });
    const pulled = isHosted(repository.value)
      ? await hosted.blob(repository.value, digest.value, range)
      : await blobs.pull(repository.value, digest.value, range, ctx.state.asker);
    if (!pulled.ok) return fail(ctx, pulled.failure);
    await using blob = pulled.value;
    ctx.state.entry.outcome = blob.provenance.kind;
    describe(ctx, digest.value, truthHeaders(blob.provenance, clock.now()));
    if (notModified(ctx, etagOf(digest.value))) return;
    await send(ctx, blob);
  };
}

/** `DELETE /v2/<name>/blobs/<digest>`. */
export function deleteBlob({ remove, policy }: { readonly remove: Remove; readonly policy: () => Policy }) {
  return async (ctx: Context, name: string, digestText: string): Promise<void> => {
    const repository = locateHosted(ctx, name, policy(), 'delete');
    if (!repository.ok) return fail(ctx, repository.failure);
    const digest = readDigest(ctx, digestText);
    if (!digest.ok) return fail(ctx, digest.failure);
    const removed = await remove.blob(repository.value, digest.value);
    if (!removed.ok) return fail(ctx, removed.failure);
    ctx.state.entry.outcome = 'deleted';
    empty(ctx, 202);
  };
}

function describe(ctx: Context, digest: Digest, truth: Readonly<Record<string, string>>): void {
  ctx.set(truth);
  ctx.set('Docker-Content-Digest', digest);
  ctx.set('ETag', etagOf(digest));
  ctx.set('Accept-Ranges', 'bytes');
  ctx.set('Content-Type', 'application/octet-stream');
}

function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** RFC 9110 13.1.5: with an If-Range that names another content the whole of this one is the answer. */
function rangeHeader(ctx: Context, digest: Digest): string | undefined {
  const ifRange = ctx.get('If-Range');
  return ifRange === '' || ifRange === etagOf(digest) ? ctx.headers.range : undefined;
}

async function send(ctx: Context, { body, range, provenance }: PulledBlob): Promise<void> {
  const first = range?.first ?? 0;
  const end = range === undefined ? body.size : range.last + 1;
  // With no byte to hold back, the headers alone would call an empty blob complete: it is judged before they leave.
  if (end === 0 && !(await isEmpty(body)))
    return fail(ctx, { kind: 'wrong-answer', reason: 'the blob of the upstream does not match its digest' });
  ctx.status = range === undefined ? 200 : 206;
  if (range !== undefined && body.size !== undefined)
    ctx.set('Content-Range', `bytes ${range.first}-${range.last}/${body.size}`);
  if (end !== undefined) ctx.length = end - first;
  ctx.respond = false;
  if (provenance.kind !== 'hit') ctx.res.flushHeaders();
  const { entry } = ctx.state;
  let sent = 0;
  entry.bytes = 0;
  try {
    await sendBody(ctx.res, body, { first, end, onSent: (bytes) => (entry.bytes = sent += bytes) });
  } catch (error) {
    if (!(error instanceof ClientLeft)) {
      entry.outcome = 'broken';
      entry.reason = error instanceof Error ? error.message : String(error);
    }
    // Never ended: a short body must not look like a whole one. To HTTP/1.0, without a length, even a closed connection would.
    if (end === undefined) ctx.req.socket.resetAndDestroy();
    ctx.res.destroy();
  }
}

async function isEmpty(body: BlobBody): Promise<boolean> {
  try {
    return (await body.read(Buffer.alloc(1), 0)) === 0;
  } catch (error) {
    if (error instanceof BrokenBody) return false;
    throw error;
  }
}
