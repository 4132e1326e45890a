import type {
  BlobRecord,
  Content,
  Image,
  ImageName,
  Ledger,
  Listing,
  Name,
  Page,
  RepositoryMatches,
  RepositorySearch,
  Unreferenced,
} from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository-name.ts';

/**
 * What no ledger in front of another one has to do with: reads that nobody remembers, and marks of use that nobody tells. Writes
 * are left out, so that none goes past a cache or the journal unseen.
 */
export class ReadThrough {
  readonly #inner: Ledger;

  constructor(inner: Ledger) {
    this.#inner = inner;
  }

  /** To the journal it would be most of the lines, and all that it decides is what goes first. */
  touch(digest: Digest, at: number): void {
    this.#inner.touch(digest, at);
  }

  statedSize(repository: Repository, digest: Digest): Promise<number | undefined> {
    return this.#inner.statedSize(repository, digest);
  }

  tags(repository: Repository, page: Page): Promise<readonly string[]> {
    return this.#inner.tags(repository, page);
  }

  repositories(page: Page, listing: Listing): Promise<readonly string[]> {
    return this.#inner.repositories(page, listing);
  }

  searchRepositories(search: RepositorySearch): Promise<RepositoryMatches> {
    return this.#inner.searchRepositories(search);
  }

  leastUsed(page: Parameters<Ledger['leastUsed']>[0]): Promise<readonly Unreferenced[]> {
    return this.#inner.leastUsed(page);
  }

  blobs(page: Page): Promise<readonly BlobRecord[]> {
    return this.#inner.blobs(page);
  }

  totals(): ReturnType<Ledger['totals']> {
    return this.#inner.totals();
  }

  namesOf(digest: Digest): Promise<readonly Name[]> {
    return this.#inner.namesOf(digest);
  }

  namesAbove(digest: Digest, limit: number): Promise<readonly ImageName[]> {
    return this.#inner.namesAbove(digest, limit);
  }

  imageNames(page: Parameters<Ledger['imageNames']>[0]): Promise<readonly ImageName[]> {
    return this.#inner.imageNames(page);
  }

  image(digest: Digest): Promise<Image | undefined> {
    return this.#inner.image(digest);
  }

  contentOf(digests: readonly Digest[]): Promise<readonly Content[]> {
    return this.#inner.contentOf(digests);
  }

  pins(): Promise<readonly string[]> {
    return this.#inner.pins();
  }
}
