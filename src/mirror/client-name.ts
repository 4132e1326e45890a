import { isHosted, type Repository } from '../oci/repository-name.ts';
import { officialPrefix, type RoutingTable, route } from './route.ts';

/**
 * What a client types behind this server's name to pull the repository, the shortest that leads to it: `alpine`, where a
 * private pattern takes that `library/alpine`, `ghcr.io/owner/app`. Undefined where no name does.
 */
export function clientName(repository: Repository, table: RoutingTable): string | undefined {
  return candidates(repository).find((name) => leadsTo(repository, name, table));
}

function candidates({ registry, name }: Repository): readonly string[] {
  const short = name.startsWith(officialPrefix) ? name.slice(officialPrefix.length) : name;
  return registry === '' ? [name] : [short, name, `${registry}/${short}`, `${registry}/${name}`];
}

function leadsTo(repository: Repository, text: string, table: RoutingTable): boolean {
  const routed = route(text, undefined, table);
  if (!routed.ok) return false;
  if (routed.value.kind === 'hosted') return isHosted(repository) && routed.value.name === repository.name;
  const { registry, name } = routed.value.repository;
  return registry === repository.registry && name === repository.name;
}
