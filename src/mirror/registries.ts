import type { Tag } from '../oci/reference.ts';
import type { Repository, RepositoryName } from '../oci/repository-name.ts';
import type { Upstream } from './ports.ts';

/** An upstream and what the configuration says of it. */
export interface Registry {
  readonly upstream: Upstream;
  /** Whether content that only the configured account can read is for everybody. */
  readonly privateRepositories: 'users' | 'anyone';
  tagTtlMs(name: RepositoryName, tag: Tag): number;
}

/** The configured upstreams by registry name. Routing lets no other name through. */
export class Registries {
  #registries: ReadonlyMap<string, Registry>;

  constructor(registries: ReadonlyMap<string, Registry>) {
    this.#registries = registries;
  }

  of({ registry }: Repository): Registry {
    const found = this.#registries.get(registry);
    if (found === undefined) throw new Error(`routed to ${registry}, which is not configured`);
    return found;
  }

  names(): string[] {
    return [...this.#registries.keys()];
  }

  /** The registry's own search, where it has one that may be asked. */
  searchOf(registry: string): Upstream['search'] {
    return this.#registries.get(registry)?.upstream.search;
  }

  namesOpenToAnyone(): string[] {
    return this.names().filter((name) => this.#registries.get(name)?.privateRepositories === 'anyone');
  }

  /** For a new configuration. Flights under way go on with the upstream that they have. */
  replace(registries: ReadonlyMap<string, Registry>): void {
    this.#registries = registries;
  }
}
