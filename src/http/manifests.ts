import { limits } from '../hosted/limits.ts';
import type { PullHosted } from '../hosted/pull-hosted.ts';
import type { PushManifest } from '../hosted/push-manifest.ts';
import type { Remove } from '../hosted/remove.ts';
import type { Clock } from '../mirror/ports.ts';
import type { PullManifest } from '../mirror/pull-manifest.ts';
import { maxManifestBytes } from '../oci/manifest.ts';
import { bareMediaType } from '../oci/media-type.ts';
import { parseReference, type Reference, type Tag } from '../oci/reference.ts';
import { isHosted } from '../oci/repository-name.ts';
import { fail as failed, ok, type Result } from '../oci/result.ts';
import { notModified } from './conditional.ts';
import type { Context } from './context.ts';
import { empty } from './empty.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import { locate, locateHosted, type Policy } from './locate.ts';
import { announce, type Notify } from './notify.ts';
import { wholeBody } from './request-body.ts';
import { truthHeaders } from './truth.ts';

interface Deps {
  readonly manifests: PullManifest;
  readonly hosted: PullHosted;
  readonly push: PushManifest;
  readonly remove: Remove;
  readonly clock: Clock;
  readonly policy: () => Policy;
  readonly notify: Notify;
}

/** `/v2/<name>/manifests/<reference>`. */
export class ManifestRoutes {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `GET` and `HEAD`. */
  async pull(ctx: Context, name: string, referenceText: string): Promise<void> {
    const { manifests, hosted, clock, policy, notify } = this.#deps;
    const located = locate(ctx, name, policy(), 'pull');
    if (!located.ok) return fail(ctx, located.failure);
    const repository = located.value;
    const reference = readReference(ctx, referenceText);
    if (!reference.ok) return fail(ctx, reference.failure);

    const pulled = isHosted(repository)
      ? await hosted.manifest(repository, reference.value)
      : await manifests.pull(repository, reference.value, ctx.state.asker);
    if (!pulled.ok) return fail(ctx, pulled.failure);
    const { manifest, provenance } = pulled.value;
    const { digest, mediaType, size } = manifest.record;
    ctx.state.entry.outcome = provenance.kind;
    if (provenance.kind === 'stale') ctx.state.entry.reason = provenance.because.reason;
    ctx.set(truthHeaders(provenance, clock.now()));
    ctx.set('Docker-Content-Digest', digest);
    const etag = `"${digest}"`;
    ctx.set('ETag', etag);
    if (notModified(ctx, etag)) return;
    ctx.set('Content-Type', mediaType);
    ctx.body = Buffer.from(manifest.bytes.buffer, manifest.bytes.byteOffset, manifest.bytes.byteLength);
    if (ctx.method !== 'GET') return;
    announce(ctx, notify, { action: 'pull', repository, digest, mediaType, size, tag: tagOf(reference.value) });
  }

  /** `PUT`, with further tags as `?tag=`. */
  async push(ctx: Context, name: string, referenceText: string): Promise<void> {
    const { push, policy, notify } = this.#deps;
    const located = locateHosted(ctx, name, policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const repository = located.value;
    const reference = readReference(ctx, referenceText);
    if (!reference.ok) return fail(ctx, reference.failure);
    const tags = readTags(ctx.query['tag']);
    if (!tags.ok) return fail(ctx, tags.failure);
    const bytes = await wholeBody(ctx, maxManifestBytes);
    if (bytes === undefined) {
      return fail(ctx, { kind: 'manifest-too-large', reason: `a manifest has at most ${maxManifestBytes} bytes` });
    }

    const header = bareMediaType(ctx.get('Content-Type'));
    const pushed = await push.put(repository, reference.value, { bytes, header, tags: tags.value });
    if (!pushed.ok) return fail(ctx, pushed.failure);
    const { digest, mediaType, size, subject } = pushed.value;
    ctx.state.entry.outcome = 'pushed';
    ctx.set('Location', `/v2/${name}/manifests/${digest}`);
    ctx.set('Docker-Content-Digest', digest);
    if (subject !== undefined) ctx.set('OCI-Subject', subject);
    if (tags.value.length > 0) ctx.set('OCI-Tag', [...tags.value]);
    empty(ctx, 201);
    const [tag, ...others] = pushed.value.tags;
    for (const each of [tag, ...others]) {
      announce(ctx, notify, { action: 'push', repository, digest, mediaType, size, tag: each });
    }
  }

  /** `DELETE` of a tag, or of a manifest with all its tags. */
  async remove(ctx: Context, name: string, referenceText: string): Promise<void> {
    const { remove, policy, notify } = this.#deps;
    const located = locateHosted(ctx, name, policy(), 'delete');
    if (!located.ok) return fail(ctx, located.failure);
    const repository = located.value;
    const reference = readReference(ctx, referenceText);
    if (!reference.ok) return fail(ctx, reference.failure);
    const removed = await remove.manifest(repository, reference.value);
    if (!removed.ok) return fail(ctx, removed.failure);
    ctx.state.entry.outcome = 'deleted';
    empty(ctx, 202);
    // Of a tag that went, only the tag: what it stood for stays.
    const { digest, tag } = removed.value;
    announce(ctx, notify, { action: 'delete', repository, ...(tag === undefined ? { digest } : { tag }) });
  }
}

function readReference(ctx: Context, text: string): Result<Reference, BadRequest> {
  ctx.state.entry.reference = text.slice(0, 200);
  const reference = parseReference(text);
  if (reference.ok) return reference;
  return failed({ kind: `${reference.failure.what}-invalid`, reason: reference.failure.reason });
}

function tagOf(reference: Reference): Tag | undefined {
  return reference.kind === 'tag' ? reference.tag : undefined;
}

function readTags(query: string | readonly string[] | undefined): Result<readonly Tag[], BadRequest> {
  const texts = query === undefined ? [] : typeof query === 'string' ? [query] : query;
  if (texts.length > limits.maxTagsPerPush) {
    return failed({ kind: 'tag-invalid', reason: `at most ${limits.maxTagsPerPush} tags at once` });
  }
  const tags: Tag[] = [];
  for (const text of texts) {
    const reference = parseReference(text);
    if (!reference.ok || reference.value.kind !== 'tag') {
      const reason = reference.ok ? '?tag= takes tags, no digests' : reference.failure.reason;
      return failed({ kind: 'tag-invalid', reason });
    }
    tags.push(reference.value.tag);
  }
  return ok(tags);
}
