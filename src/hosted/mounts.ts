import type { Asker } from '../mirror/asker.ts';
import type { BlobRecord, Clock, Ledger } from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import { isHosted, type Repository } from '../oci/repository-name.ts';
import { limits } from './limits.ts';
import type { HostedLedger, HostedStore } from './ports.ts';

interface Deps {
  readonly ledger: Ledger;
  readonly index: HostedLedger;
  readonly store: HostedStore;
  readonly clock: Clock;
  /** Whether an upstream repository that is linked to stored content may serve it to this asker. */
  readonly mayServe: (repository: Repository, content: BlobRecord, asker: Asker) => boolean;
}

/**
 * Blobs that a repository comes to hold without an upload. What may be mounted is what the asker could pull anyway: from a
 * repository that is proved to hold it, hosted or cached, by the rules and the upstream's own word.
 */
export class Mounts {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `POST …/uploads/?mount=` with or without `from`. False when there is nothing to mount. */
  async mount(repository: Repository, digest: Digest, from: Repository | undefined, asker: Asker): Promise<boolean> {
    const { ledger, index, store, clock } = this.#deps;
    const content = await ledger.blob(digest);
    if (content === undefined || !(await this.#isProved(content, from, asker))) return false;
    return store.mount(digest, () => index.addMount(repository, digest, clock.now()));
  }

  /**
   * `HEAD` of a blob by somebody who may push here. No engine asks to mount what it pulled from another registry's name, but
   * each asks whether the blob is here already.
   */
  async onDemand(repository: Repository, digest: Digest, asker: Asker): Promise<boolean> {
    return asker.may('push', repository) && (await this.mount(repository, digest, undefined, asker));
  }

  async #isProved(content: BlobRecord, from: Repository | undefined, asker: Asker): Promise<boolean> {
    const { ledger, index } = this.#deps;
    if (from !== undefined) return this.#mayPull(from, content, asker) && ledger.isLinked(from, content.digest);
    const holders = await index.holders(content.digest, limits.maxProofs);
    return holders.some((repository) => this.#mayPull(repository, content, asker));
  }

  #mayPull(repository: Repository, content: BlobRecord, asker: Asker): boolean {
    if (!asker.may('pull', repository)) return false;
    return isHosted(repository) || this.#deps.mayServe(repository, content, asker);
  }
}
