import type { Asker } from '../mirror/asker.ts';
import { type RoutingTable, route } from '../mirror/route.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import type { BadRequest } from './fail.ts';

/** What the configuration says of every request; replaced as a whole when it is loaded anew. */
export interface Policy {
  readonly table: RoutingTable;
  readonly anonymousPull: boolean;
}

/**
 * The canonical repository that a request is about. Names that are hosted here stop at this point: they are never sent
 * upstream, by whatever route they come.
 *
 * @param name as it stands in the path, percent-decoded by the router
 */
export function locate(ctx: Context, name: string, policy: Policy): Result<Repository, BadRequest> {
  if (nameIsEscaped(ctx.path))
    return fail({ kind: 'name-invalid', reason: 'a repository name has no percent-encoded characters' });
  const { ns } = ctx.query;
  if (Array.isArray(ns)) return fail({ kind: 'name-invalid', reason: 'ns is given more than once' });
  const routed = route(name, ns === '' ? undefined : ns, policy.table);
  if (!routed.ok) return routed;
  if (ns !== undefined && ns !== '') ctx.set('OCI-Namespace', ns);
  const denied = mayPull(ctx.state.asker, policy);
  if (denied !== undefined) return fail(denied);
  if (routed.value.kind === 'hosted') {
    ctx.state.entry.repository = routed.value.name;
    return fail({
      kind: 'name-unknown',
      reason: `${routed.value.name} belongs to the private namespace of this server, which holds nothing under that name`,
    });
  }
  ctx.state.entry.repository = repositoryText(routed.value.repository);
  return ok(routed.value.repository);
}

export function mayPull(asker: Asker, policy: Policy): BadRequest | undefined {
  if (!asker.isAnonymous || policy.anonymousPull) return undefined;
  return {
    kind: 'pull-denied',
    reason: 'this server does not let anonymous clients pull (access.anonymous.pull is false)',
  };
}

/** Everything before the last segment is name and resource; in neither is there anything to escape. */
function nameIsEscaped(path: string): boolean {
  return path.slice(0, path.lastIndexOf('/')).includes('%');
}
