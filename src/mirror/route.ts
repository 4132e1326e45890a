import { parseRepositoryName, type Repository, type RepositoryName } from '../oci/repository-name.ts';
import type { RepositoryPattern } from '../oci/repository-pattern.ts';
import { fail, ok, type Result } from '../oci/result.ts';

export interface RoutingTable {
  /** The closed set: nothing a client sends adds to it. */
  readonly registries: ReadonlySet<string>;
  readonly defaultRegistry: string | undefined;
  readonly privatePatterns: readonly RepositoryPattern[];
}

export type Route =
  | { readonly kind: 'hosted'; readonly name: RepositoryName }
  | { readonly kind: 'upstream'; readonly repository: Repository };

export type BadRoute =
  | { readonly kind: 'name-invalid'; readonly reason: string }
  | { readonly kind: 'name-unknown'; readonly reason: string };

const dockerHub = 'docker.io';
/** Names under which clients know Docker Hub's hosts. */
const dockerHubHosts = new Set(['index.docker.io', 'registry-1.docker.io']);

/**
 * From the name in the path, and containerd's `?ns=`, to the one canonical name. Everything after this speaks of that name
 * only, so that no spelling gets around a rule.
 *
 * @param name the path between `/v2/` and `/manifests/`, percent-decoded
 * @param ns the `ns` query parameter, if any
 */
export function route(name: string, ns: string | undefined, table: RoutingTable): Result<Route, BadRoute> {
  const named = ns === undefined ? registryInFront(name, table) : registryOf(ns, name, table);
  if (named === 'unknown') {
    return fail({
      kind: 'name-unknown',
      reason: `the registry ${printable(ns ?? '')} is not configured here as an upstream`,
    });
  }
  const parsed = parseRepositoryName(named?.rest ?? name);
  if (!parsed.ok) return fail({ kind: 'name-invalid', reason: parsed.failure.reason });

  const registry = named?.registry ?? table.defaultRegistry;
  const full = named !== undefined && registry === table.defaultRegistry ? underLibrary(parsed.value) : parsed.value;
  if (registry === undefined || registry === table.defaultRegistry) {
    if (table.privatePatterns.some((pattern) => pattern.matches(full))) return ok({ kind: 'hosted', name: full });
  }
  if (registry === undefined) {
    return fail({
      kind: 'name-unknown',
      reason: 'the name has no registry in it, and no default upstream is configured',
    });
  }
  // Docker Hub has no one-segment names, so `docker pull mirror:5000/alpine` can only mean the official image.
  return ok({ kind: 'upstream', repository: { registry, name: registry === dockerHub ? underLibrary(full) : full } });
}

interface Named {
  readonly registry: string;
  /** The name without the registry, where it stood in the path. */
  readonly rest?: string;
}

/** A containerd host with a path in it names the registry twice, `/v2/docker.io/library/x?ns=docker.io`: it is one name. */
function registryOf(ns: string, name: string, table: RoutingTable): Named | 'unknown' {
  const registry = dockerHubHosts.has(ns) ? dockerHub : ns;
  if (!table.registries.has(registry)) return 'unknown';
  const inFront = registryInFront(name, table);
  return inFront?.registry === registry ? inFront : { registry };
}

function registryInFront(name: string, table: RoutingTable): Named | undefined {
  const slash = name.indexOf('/');
  if (slash < 0) return undefined;
  const registry = name.slice(0, slash);
  return table.registries.has(registry) ? { registry, rest: name.slice(slash + 1) } : undefined;
}

function underLibrary(name: RepositoryName): RepositoryName {
  return name.includes('/') ? name : (`library/${name}` as RepositoryName);
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
