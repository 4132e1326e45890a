import { onePage } from '../mirror/listings.ts';
import type { Manifests } from '../mirror/manifests.ts';
import type { Ledger, Page } from '../mirror/ports.ts';
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts';
import { listedIn } from '../oci/manifest.ts';
import { parseReference } from '../oci/reference.ts';
import type { Repository } from '../oci/repository-name.ts';
import { limits } from './limits.ts';
import type { HostedLedger, ReferrerEntry } from './ports.ts';

export interface TagNames {
  readonly tags: readonly string[];
  readonly next: URLSearchParams | undefined;
}

export interface Referrers {
  readonly entries: readonly ReferrerEntry[];
  /** Where the next page begins, where there is one. */
  readonly next: Digest | undefined;
}

interface Deps {
  readonly ledger: Ledger;
  readonly index: HostedLedger;
  readonly manifests: Pick<Manifests, 'read'>;
}

/** What a hosted repository has. One that nobody ever pushed to has nothing. */
export class Discover {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async tags(repository: Repository, page: Page): Promise<TagNames> {
    const { names, next } = await onePage(page, (wish) => this.#deps.ledger.tags(repository, wish));
    return { tags: names, next };
  }

  /** By digest, a page at a time. What clients without this list have put under the subject's own tag comes with the first. */
  async referrers(
    repository: Repository,
    subject: Digest,
    { artifactType, after }: { readonly artifactType: string | undefined; readonly after: string | undefined },
  ): Promise<Referrers> {
    const { entries, next } = await this.#page(repository, subject, { artifactType, after });
    if (after !== undefined) return { entries, next };
    const known = new Set(entries.map(({ digest }) => digest));
    const tagged = (await this.#underTag(repository, subject)).filter(
      (entry) => !known.has(entry.digest) && (artifactType === undefined || entry.artifactType === artifactType),
    );
    return { entries: [...tagged, ...entries], next };
  }

  /** An entry has annotations of any size up to a manifest's: a page ends with their number or with their bytes, and has one at least. */
  async #page(
    repository: Repository,
    subject: Digest,
    { artifactType, after }: { readonly artifactType: string | undefined; readonly after: string | undefined },
  ): Promise<Referrers> {
    const entries: ReferrerEntry[] = [];
    for (let bytes = 0; ; ) {
      const from = entries.at(-1)?.digest ?? after;
      const limit = limits.referrersAtOnce;
      const found = await this.#deps.index.referrers(repository, subject, { artifactType, after: from, limit });
      for (const entry of found) {
        bytes += JSON.stringify(entry).length;
        const isFull = entries.length === limits.referrersPage || bytes > limits.referrersPageBytes;
        if (isFull && entries.length > 0) return { entries, next: entries.at(-1)?.digest };
        entries.push(entry);
      }
      if (found.length < limit) return { entries, next: undefined };
    }
  }

  /** distribution-spec "Referrers Tag Schema". */
  async #underTag(repository: Repository, subject: Digest): Promise<readonly ReferrerEntry[]> {
    const { ledger, manifests } = this.#deps;
    const tag = parseReference(`${algorithmOf(subject)}-${hexOf(subject).slice(0, maxTaggedHex)}`);
    if (!tag.ok || tag.value.kind !== 'tag') return [];
    const record = await ledger.tag(repository, tag.value.tag);
    const index = record && (await manifests.read(record.digest));
    return index === undefined ? [] : listedIn(index.bytes, index.record.mediaType);
  }
}

/** "Referrers Tag Schema": the encoded part is cut to so many characters, so that the tag is one. */
const maxTaggedHex = 64;
