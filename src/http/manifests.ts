import type { Clock } from '../mirror/ports.ts';
import type { PullManifest } from '../mirror/pull-manifest.ts';
import { parseReference } from '../oci/reference.ts';
import { notModified } from './conditional.ts';
import type { Context } from './context.ts';
import { fail } from './fail.ts';
import { locate, type Policy } from './locate.ts';
import { truthHeaders } from './truth.ts';

interface Deps {
  readonly manifests: PullManifest;
  readonly clock: Clock;
  readonly policy: () => Policy;
}

/** `GET` and `HEAD /v2/<name>/manifests/<reference>`. */
export function pullManifest({ manifests, clock, policy }: Deps) {
  return async (ctx: Context, name: string, referenceText: string): Promise<void> => {
    const repository = locate(ctx, name, policy());
    if (!repository.ok) return fail(ctx, repository.failure);
    ctx.state.entry.reference = referenceText.slice(0, 200);
    const reference = parseReference(referenceText);
    if (!reference.ok)
      return fail(ctx, { kind: `${reference.failure.what}-invalid`, reason: reference.failure.reason });

    const pulled = await manifests.pull(repository.value, reference.value, ctx.state.asker);
    if (!pulled.ok) return fail(ctx, pulled.failure);
    const { manifest, provenance } = pulled.value;
    ctx.state.entry.outcome = provenance.kind;
    if (provenance.kind === 'stale') ctx.state.entry.reason = provenance.because.reason;
    ctx.set(truthHeaders(provenance, clock.now()));
    ctx.set('Docker-Content-Digest', manifest.record.digest);
    const etag = `"${manifest.record.digest}"`;
    ctx.set('ETag', etag);
    if (notModified(ctx, etag)) return;
    ctx.set('Content-Type', manifest.record.mediaType);
    ctx.body = Buffer.from(manifest.bytes.buffer, manifest.bytes.byteOffset, manifest.bytes.byteLength);
  };
}
