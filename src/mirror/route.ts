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
/** Where Docker Hub's official images lie: its own name for what others call `alpine`. */
export const officialPrefix = 'library/';
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
  const asked = parseRepositoryName(named?.rest ?? name);
  if (!asked.ok) return fail({ kind: 'name-invalid', reason: asked.failure.reason });

  const registry = named?.registry ?? table.defaultRegistry;
  const full = named !== undefined && registry === table.defaultRegistry ? underLibrary(asked.value) : asked.value;
  // Docker Hub has no one-segment names, so `docker pull mirror:5000/alpine` can only mean the official image.
  const canonical = parseRepositoryName(registry === dockerHub ? underLibrary(full) : full);
  if (!canonical.ok) return fail({ kind: 'name-invalid', reason: canonical.failure.reason });

  if (registry === undefined || registry === table.defaultRegistry) {
    const hosted = [full, canonical.value].find((candidate) => isPrivate(candidate, table));
    if (hosted !== undefined) return ok({ kind: 'hosted', name: hosted });
  }
  if (registry === undefined) {
    return fail({
      kind: 'name-unknown',
      reason: 'the name has no registry in it, and no default upstream is configured',
    });
  }
  return ok({ kind: 'upstream', repository: { registry, name: canonical.value } });
}

/** Whether it is one of Docker's own images, as Docker Hub keeps them. */
export function isOfficial({ registry, name }: Repository): boolean {
  return registry === dockerHub && name.startsWith(officialPrefix);
}

function isPrivate(name: RepositoryName, { privatePatterns }: RoutingTable): boolean {
  return privatePatterns.some((pattern) => pattern.matches(name));
}

interface Named {
  readonly registry: string;
  /** The name without the registry, where it stood in the path. */
  readonly rest?: string;
}

/** A containerd host with a path in it names the registry twice, `/v2/docker.io/library/x?ns=docker.io`: it is one name. */
function registryOf(ns: string, name: string, table: RoutingTable): Named | 'unknown' {
  const registry = canonicalRegistry(ns);
  if (!table.registries.has(registry)) return 'unknown';
  const inFront = registryInFront(name, table);
  return inFront?.registry === registry ? inFront : { registry };
}

function canonicalRegistry(host: string): string {
  return dockerHubHosts.has(host) ? dockerHub : host;
}

/** Named twice or more is named once, so that a canonical name stays what it is however it is asked for. */
export function registryInFront(name: string, table: RoutingTable): (Named & { readonly rest: string }) | undefined {
  let found: (Named & { readonly rest: string }) | undefined;
  for (let rest = name; ; rest = found.rest) {
    const slash = rest.indexOf('/');
    const registry = canonicalRegistry(rest.slice(0, Math.max(slash, 0)));
    if (!table.registries.has(registry) || (found !== undefined && found.registry !== registry)) return found;
    found = { registry, rest: rest.slice(slash + 1) };
  }
}

function underLibrary(name: RepositoryName): RepositoryName {
  return name.includes('/') ? name : (`${officialPrefix}${name}` as RepositoryName);
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
