import type { Action } from '../mirror/asker.ts';
import { type RoutingTable, route } from '../mirror/route.ts';
import { hostedRepository, isHosted, type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import type { BadRequest } from './failure.ts';

/** What the configuration says of every request; replaced as a whole when it is loaded anew. */
export interface Policy {
  readonly table: RoutingTable;
  /** Without rules that say otherwise. */
  readonly anonymousPull: boolean;
}

/**
 * The canonical repository that a request is about, if the asker may do this with it. What is hosted here is never sent upstream,
 * by whatever route it comes: its registry is none.
 *
 * @param name as it stands in the path, percent-decoded by the router
 */
export function locate(ctx: Context, name: string, policy: Policy, action: Action): Result<Repository, BadRequest> {
  if (nameIsEscaped(ctx.path))
    return fail({ kind: 'name-invalid', reason: 'a repository name has no percent-encoded characters' });
  const { ns } = ctx.query;
  if (Array.isArray(ns)) return fail({ kind: 'name-invalid', reason: 'ns is given more than once' });
  const routed = canonical(name, ns === '' ? undefined : ns, policy);
  if (!routed.ok) return routed;
  if (ns !== undefined && ns !== '') ctx.set('OCI-Namespace', ns);
  ctx.state.entry.repository = repositoryText(routed.value);
  return mayAct(ctx, name, routed.value, action);
}

/** The same for what only a hosted repository can do. */
export function locateHosted(
  ctx: Context,
  name: string,
  policy: Policy,
  action: 'push' | 'delete',
): Result<Repository, BadRequest> {
  const located = locate(ctx, name, policy, action);
  if (!located.ok || isHosted(located.value)) return located;
  return fail({
    kind: 'not-hosted',
    reason: `${repositoryText(located.value)} is not hosted here: ${whereToPush(policy)}`,
  });
}

/** Another repository that a request names; undefined for a name that leads nowhere. */
export function locateOther(ctx: Context, name: string, policy: Policy): Repository | undefined {
  const { ns } = ctx.query;
  const routed = canonical(name, typeof ns === 'string' && ns !== '' ? ns : undefined, policy);
  return routed.ok ? routed.value : undefined;
}

/** The repository that goes by this name. Whether it may be read is not asked yet. */
export function canonical(name: string, ns: string | undefined, policy: Policy): Result<Repository, BadRequest> {
  const routed = route(name, ns, policy.table);
  if (!routed.ok) return routed;
  return ok(routed.value.kind === 'hosted' ? hostedRepository(routed.value.name) : routed.value.repository);
}

function mayAct(ctx: Context, name: string, repository: Repository, action: Action): Result<Repository, BadRequest> {
  const { asker, visitor } = ctx.state;
  const refusal = visitor?.refused(action, repository, name, asker);
  if (visitor === undefined) throw new Error('nobody has looked who asks');
  return refusal === undefined ? ok(repository) : fail(refusal);
}

function whereToPush({ table }: Policy): string {
  const patterns = table.privatePatterns.map(({ text }) => text);
  return patterns.length === 0
    ? 'no namespace is (private.namespaces)'
    : `this server takes pushes under ${patterns.join(', ')} (private.namespaces)`;
}

/** Everything before the last segment is name and resource; in neither is there anything to escape. */
function nameIsEscaped(path: string): boolean {
  return path.slice(0, path.lastIndexOf('/')).includes('%');
}
