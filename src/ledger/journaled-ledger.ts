import type {
  BlobRecord,
  Content,
  FetchedBlob,
  FetchedManifest,
  Ledger,
  ManifestRecord,
  Proof,
  TagRecord,
} from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Repository } from '../oci/repository-name.ts';
import type { Fact } from './facts.ts';
import type { Journal } from './journal.ts';
import { ReadThrough } from './read-through.ts';
import type { SqliteLedger } from './sqlite-ledger.ts';

/**
 * A ledger whose facts are told to the journal too, after each write and in its tick. What is told are rows as they stand
 * then, not what was asked for: the ledger decides what becomes public, and which fallback a tag has.
 */
export class JournaledLedger extends ReadThrough implements Ledger {
  readonly #ledger: SqliteLedger;
  readonly #journal: Journal;

  constructor(ledger: SqliteLedger, journal: Journal) {
    super(ledger);
    this.#ledger = ledger;
    this.#journal = journal;
  }

  #tell(...facts: readonly (Fact | undefined)[]): void {
    this.#journal.append(facts.filter((fact) => fact !== undefined));
  }

  /** What a proof may change. */
  #tellProof(repository: Repository, { digest, isPublic }: Proof, isNew: boolean): void {
    const { rows } = this.#ledger;
    this.#tell(
      isNew || isPublic ? rows.blob(digest) : undefined,
      rows.link(repository, digest),
      isPublic ? rows.visibility(repository) : undefined,
    );
  }

  #tellTag(repository: Repository, tag: Tag): void {
    this.#tell(this.#ledger.rows.tag(repository, tag) ?? { is: 'no tag', repository, tag });
  }

  async addBlob(blob: FetchedBlob, repository: Repository | undefined): Promise<BlobRecord> {
    const record = await this.#ledger.addBlob(blob, repository);
    if (repository === undefined) this.#tell(this.#ledger.rows.blob(blob.digest));
    else this.#tellProof(repository, blob, true);
    return record;
  }

  async adoptBlob(blob: Omit<FetchedBlob, 'isPublic'>): Promise<BlobRecord> {
    const record = await this.#ledger.adoptBlob(blob);
    this.#tell(this.#ledger.rows.blob(blob.digest));
    return record;
  }

  async addManifest(
    manifest: FetchedManifest,
    children: readonly Child[],
    repository: Repository,
  ): Promise<ManifestRecord> {
    const record = await this.#ledger.addManifest(manifest, children, repository);
    this.#tellProof(repository, manifest, true);
    return record;
  }

  async link(repository: Repository, proof: Proof, provedAt: number): Promise<void> {
    await this.#ledger.link(repository, proof, provedAt);
    this.#tellProof(repository, proof, false);
  }

  async forget(digest: Digest, seen?: Parameters<Ledger['forget']>[1]): Promise<boolean> {
    const wasKnown = await this.#ledger.forget(digest, seen);
    if (wasKnown) this.#tell(this.#ledger.rows.blob(digest) ?? { is: 'forgotten', digest });
    return wasKnown;
  }

  async evict(digest: Digest, inUse: ReadonlySet<Digest>): Promise<readonly Content[]> {
    const evicted = await this.#ledger.evict(digest, inUse);
    this.#tell(...evicted.map(({ digest }): Fact => ({ is: 'evicted', digest })));
    return evicted;
  }

  async setTag(repository: Repository, tag: Tag, digest: Digest, checkedAt: number): Promise<TagRecord> {
    const record = await this.#ledger.setTag(repository, tag, digest, checkedAt);
    this.#tellTag(repository, tag);
    return record;
  }

  async removeTag(repository: Repository, tag: Tag): Promise<void> {
    await this.#ledger.removeTag(repository, tag);
    this.#tellTag(repository, tag);
  }

  async settleTag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    const before = this.#ledger.rows.tag(repository, tag);
    const record = await this.#ledger.settleTag(repository, tag);
    if (record?.fallback !== before?.fallback) this.#tellTag(repository, tag);
    return record;
  }

  async setVisibility(repository: Repository, isPublic: boolean, checkedAt: number): Promise<void> {
    await this.#ledger.setVisibility(repository, isPublic, checkedAt);
    this.#tell(this.#ledger.rows.visibility(repository));
  }

  async addPin(pattern: string, at: number): Promise<void> {
    await this.#ledger.addPin(pattern, at);
    this.#tell(this.#ledger.rows.pin(pattern));
  }

  async removePin(pattern: string): Promise<boolean> {
    const wasPinned = await this.#ledger.removePin(pattern);
    if (wasPinned) this.#tell(this.#ledger.rows.pin(pattern) ?? { is: 'no pin', pattern });
    return wasPinned;
  }

  blob(digest: Digest): Promise<BlobRecord | undefined> {
    return this.#ledger.blob(digest);
  }

  manifest(digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#ledger.manifest(digest);
  }

  isLinked(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#ledger.isLinked(repository, digest);
  }

  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    return this.#ledger.tag(repository, tag);
  }

  visibility(repository: Repository): ReturnType<Ledger['visibility']> {
    return this.#ledger.visibility(repository);
  }
}
