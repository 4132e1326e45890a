import type { Digest } from '../oci/digest.ts';
import { Asker, ownRights } from './asker.ts';
import type { Flights } from './flights.ts';
import type { Manifests } from './manifests.ts';
import type { Ledger } from './ports.ts';
import type { Registries } from './registries.ts';

interface Deps {
  readonly flights: Flights;
  readonly manifests: Manifests;
  readonly ledger: Ledger;
  readonly registries: Registries;
}

/** Fetches content that was set aside from wherever it was had before. */
export class Refetch {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** True when it is stored again. */
  async fetch(digest: Digest, kind: 'manifest' | 'blob'): Promise<boolean> {
    const { ledger, registries } = this.#deps;
    for (const { repository } of await ledger.namesOf(digest)) {
      if (!registries.names().includes(repository.registry)) continue;
      if (kind === 'manifest') {
        const fetched = await this.#deps.manifests.fetch(repository, { kind: 'digest', digest }).result;
        if (fetched.ok && fetched.value.stored) return true;
        continue;
      }
      const joined = await this.#deps.flights.join(repository, digest, new Asker(ownRights));
      if (!joined.ok) continue;
      await joined.value.body[Symbol.asyncDispose]();
      if ((await joined.value.flight.landed).kind === 'stored') return true;
    }
    return false;
  }
}
