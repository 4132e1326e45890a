import type { Discover } from '../hosted/discover.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { ociIndex } from '../oci/media-type.ts';
import { isHosted } from '../oci/repository-name.ts';
import type { Context } from './context.ts';
import { fail } from './fail.ts';
import { linkNext } from './listings.ts';
import { locate, type Policy } from './locate.ts';
import { readDigest } from './read-digest.ts';

/** More is no artifact type. */
const maxTypeLength = 255;

/** `GET /v2/<name>/referrers/<digest>`: an index of what names the digest as its subject, also when that is not there. */
export function listReferrers({ hosted, policy }: { readonly hosted: Discover; readonly policy: () => Policy }) {
  return async (ctx: Context, name: string, digestText: string): Promise<void> => {
    const repository = locate(ctx, name, policy(), 'pull');
    if (!repository.ok) return fail(ctx, repository.failure);
    const digest = readDigest(ctx, digestText);
    if (!digest.ok) return fail(ctx, digest.failure);
    if (!isHosted(repository.value)) {
      // An empty list would be a lie: what the upstream knows of referrers is not asked for yet.
      const reason = 'referrers of upstream repositories are not served; ask the registry itself';
      return fail(ctx, { kind: 'route-unknown', reason });
    }
    const { artifactType, last } = ctx.query;
    const after = typeof last === 'string' ? parseDigest(last) : undefined;
    if (Array.isArray(artifactType) || (artifactType?.length ?? 0) > maxTypeLength || after?.ok === false) {
      return fail(ctx, { kind: 'page-invalid', reason: 'artifactType is one media type, and last one digest' });
    }
    const { entries, next } = await hosted.referrers(repository.value, digest.value, {
      artifactType: artifactType === '' ? undefined : artifactType,
      after: after?.value,
    });
    ctx.state.entry.outcome = 'hosted';
    if (artifactType) ctx.set('OCI-Filters-Applied', 'artifactType');
    linkNext(ctx, next && pageAfter(next, artifactType));
    ctx.body = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: entries });
    ctx.set('Content-Type', ociIndex);
  };
}

function pageAfter(last: Digest, artifactType: string | undefined): URLSearchParams {
  return new URLSearchParams({ ...(artifactType ? { artifactType } : {}), last });
}
