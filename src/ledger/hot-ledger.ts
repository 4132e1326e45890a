import { LRUCache } from 'lru-cache';
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
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { ReadThrough } from './read-through.ts';

/** Entries kept of each kind; a record takes some 200 bytes. */
const maxEntries = 20_000;

const isThere = {};

type Visibility = NonNullable<Awaited<ReturnType<Ledger['visibility']>>>;

/**
 * What hits need, kept in memory in front of another ledger: a hit asks no database. Only what is there is remembered, and
 * every write that touches a record forgets it first. Right as long as this process is the only one that writes.
 */
export class HotLedger extends ReadThrough implements Ledger {
  readonly #cold: Ledger;
  readonly #blobs = new LRUCache<Digest, BlobRecord>({ max: maxEntries });
  readonly #manifests = new LRUCache<Digest, ManifestRecord>({ max: maxEntries });
  readonly #tags = new LRUCache<string, TagRecord>({ max: maxEntries });
  readonly #links = new LRUCache<string, typeof isThere>({ max: maxEntries });
  readonly #visibilities = new LRUCache<string, Visibility>({ max: maxEntries });
  /** Moves with every write: what was read before one must not be remembered after it. */
  #generation = 0;

  constructor(cold: Ledger) {
    super(cold);
    this.#cold = cold;
  }

  async #remembered<K extends string, V extends object>(
    cache: LRUCache<K, V>,
    key: K,
    read: () => Promise<V | undefined>,
  ): Promise<V | undefined> {
    const hot = cache.get(key);
    if (hot !== undefined) return hot;
    const generation = this.#generation;
    const value = await read();
    if (value !== undefined && generation === this.#generation) cache.set(key, value);
    return value;
  }

  /** Before and after: a read that began before the write may end after it. */
  async #writing<T>(forget: () => void, write: () => Promise<T>): Promise<T> {
    this.#generation++;
    try {
      return await write();
    } finally {
      this.#generation++;
      forget();
    }
  }

  /** For a write that goes past this one, as those of hosting do. */
  writingPast<T>(
    what: { readonly repository?: Repository; readonly digest?: Digest; readonly tags?: readonly Tag[] },
    write: () => Promise<T>,
  ): Promise<T> {
    const { repository, digest, tags = [] } = what;
    const forget = () => {
      if (digest !== undefined) this.#forgetContent(digest);
      if (repository === undefined) return;
      if (digest !== undefined) this.#links.delete(linkKey(repository, digest));
      for (const tag of tags) this.#tags.delete(tagKey(repository, tag));
    };
    return this.#writing(forget, write);
  }

  #forgetContent(digest: Digest, repository?: Repository): void {
    this.#blobs.delete(digest);
    this.#manifests.delete(digest);
    if (repository !== undefined) this.#visibilities.delete(repositoryText(repository));
  }

  blob(digest: Digest): Promise<BlobRecord | undefined> {
    return this.#remembered(this.#blobs, digest, () => this.#cold.blob(digest));
  }

  addBlob(blob: FetchedBlob, repository: Repository | undefined): Promise<BlobRecord> {
    const forget = () => this.#forgetContent(blob.digest, repository);
    return this.#writing(forget, () => this.#cold.addBlob(blob, repository));
  }

  adoptBlob(blob: Omit<FetchedBlob, 'isPublic'>): Promise<BlobRecord> {
    return this.#writing(
      () => this.#forgetContent(blob.digest),
      () => this.#cold.adoptBlob(blob),
    );
  }

  forget(digest: Digest, seen?: Parameters<Ledger['forget']>[1]): Promise<boolean> {
    return this.#writing(
      () => this.#forgetContent(digest),
      () => this.#cold.forget(digest, seen),
    );
  }

  manifest(digest: Digest): Promise<ManifestRecord | undefined> {
    return this.#remembered(this.#manifests, digest, () => this.#cold.manifest(digest));
  }

  addManifest(manifest: FetchedManifest, children: readonly Child[], repository: Repository): Promise<ManifestRecord> {
    const forget = () => this.#forgetContent(manifest.digest, repository);
    return this.#writing(forget, () => this.#cold.addManifest(manifest, children, repository));
  }

  async isLinked(repository: Repository, digest: Digest): Promise<boolean> {
    const read = async () => ((await this.#cold.isLinked(repository, digest)) ? isThere : undefined);
    return (await this.#remembered(this.#links, linkKey(repository, digest), read)) !== undefined;
  }

  link(repository: Repository, proof: Proof, provedAt: number): Promise<void> {
    const forget = () => this.#forgetContent(proof.digest, repository);
    return this.#writing(forget, () => this.#cold.link(repository, proof, provedAt));
  }

  tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    return this.#remembered(this.#tags, tagKey(repository, tag), () => this.#cold.tag(repository, tag));
  }

  setTag(repository: Repository, tag: Tag, digest: Digest, checkedAt: number): Promise<TagRecord> {
    const write = () => this.#cold.setTag(repository, tag, digest, checkedAt);
    return this.#writing(() => this.#tags.delete(tagKey(repository, tag)), write);
  }

  removeTag(repository: Repository, tag: Tag): Promise<void> {
    const write = () => this.#cold.removeTag(repository, tag);
    return this.#writing(() => this.#tags.delete(tagKey(repository, tag)), write);
  }

  settleTag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    const write = () => this.#cold.settleTag(repository, tag);
    return this.#writing(() => this.#tags.delete(tagKey(repository, tag)), write);
  }

  visibility(repository: Repository): Promise<Visibility | undefined> {
    const read = () => this.#cold.visibility(repository);
    return this.#remembered(this.#visibilities, repositoryText(repository), read);
  }

  setVisibility(repository: Repository, isPublic: boolean, checkedAt: number): Promise<void> {
    const write = () => this.#cold.setVisibility(repository, isPublic, checkedAt);
    return this.#writing(() => this.#visibilities.delete(repositoryText(repository)), write);
  }

  /** An upstream's links stay remembered: what it has vouched for stays true. */
  async evict(digest: Digest, inUse: ReadonlySet<Digest>): Promise<readonly Content[]> {
    let evicted: readonly Content[] = [];
    const forget = () => {
      for (const gone of evicted) this.#forgetContent(gone.digest);
      this.#tags.clear();
    };
    return this.#writing(forget, async () => {
      evicted = await this.#cold.evict(digest, inUse);
      return evicted;
    });
  }

  addPin(pattern: string, at: number): Promise<void> {
    return this.#cold.addPin(pattern, at);
  }

  removePin(pattern: string): Promise<boolean> {
    return this.#cold.removePin(pattern);
  }
}

/** Not the text that people read: `ghcr.io/x` may be hosted here, and an upstream's `x`. */
function linkKey({ registry, name }: Repository, digest: Digest): string {
  return `${registry} ${name} ${digest}`;
}

function tagKey({ registry, name }: Repository, tag: Tag): string {
  return `${registry} ${name} ${tag}`;
}
