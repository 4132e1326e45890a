import Database from 'better-sqlite3';
import {
  type BlobRecord,
  type Content,
  type FetchedBlob,
  type FetchedManifest,
  type Image,
  type ImageName,
  type Ledger,
  type Listing,
  type ManifestRecord,
  type Name,
  NoRoom,
  type Page,
  type Proof,
  type RepositoryMatches,
  type RepositorySearch,
  type TagRecord,
  type Totals,
  type Unreferenced,
  type UseOrder,
} from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import { type Repository, type RepositoryName, repositoryText } from '../oci/repository-name.ts';
import { DamageWatch } from './damage.ts';
import { HostedRows } from './hosted-rows.ts';
import { LedgerRefill } from './ledger-refill.ts';
import { LedgerRows } from './ledger-rows.ts';
import { migrate } from './migrations.ts';
import { prepare, type Statements } from './statements.ts';
import { UseMarks } from './use-marks.ts';

interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
  readonly is_public: number;
  readonly is_hosted: number;
  readonly stored_at: number;
}

interface ManifestRow extends BlobRow {
  readonly media_type: string;
}

interface UnreferencedRow {
  readonly digest: Digest;
  readonly size: number;
  readonly used_at: number;
  readonly is_manifest: number;
}

type EvictableRow = Pick<UnreferencedRow, 'size' | 'is_manifest'>;

interface RepositoryRow {
  readonly registry: string;
  readonly repository: RepositoryName;
}

interface SearchRow {
  readonly repository: RepositoryName;
  readonly is_last: number;
  readonly is_match: number;
  readonly is_stored: number;
  readonly is_public: number;
}

interface ImageNameRow extends RepositoryRow {
  readonly tag: Tag | '' | null;
  readonly digest: Digest;
  readonly checked_at: number | null;
}

interface TagRow {
  readonly digest: Digest;
  readonly fallback: Digest | null;
  readonly checked_at: number;
}

/** How long SQLite waits for another process that holds the file, such as a backup. */
const busyTimeoutMs = 2_000;

/** The ledger in one SQLite file. Each method is one statement or one synchronous transaction: nothing awaits inside. */
export class SqliteLedger implements Ledger {
  /** As they stand, for the journal. */
  readonly rows: LedgerRows;
  readonly hosted: HostedRows;
  readonly #db: Database.Database;
  readonly #sql: Statements;
  readonly #marks: UseMarks;
  readonly #damage: DamageWatch;

  /**
   * `path` may be `:memory:`. Throws when the file cannot be opened, is no ledger, or was written by a newer version.
   * `onDamage` hears once of damage that shows later.
   */
  constructor(path: string, onDamage: (error: Error) => void = () => undefined) {
    this.#db = openFile(path);
    this.#damage = new DamageWatch(onDamage);
    const watched = this.#damage.over(this.#db);
    this.#sql = preparedOrClosed(this.#db, () => prepare(watched));
    this.rows = preparedOrClosed(this.#db, () => new LedgerRows(watched));
    this.hosted = preparedOrClosed(this.#db, () => new HostedRows(watched));
    this.#marks = new UseMarks((marks) =>
      this.transaction(() => {
        for (const [digest, at] of marks) this.#sql.touch.run({ digest, at });
      }),
    );
  }

  /** One synchronous transaction. @throws {NoRoom} on a full disk */
  transaction<T>(work: () => T): T {
    try {
      return this.#db.transaction(work)();
    } catch (error) {
      this.#damage.note(error);
      throw error instanceof Database.SqliteError && error.code === 'SQLITE_FULL'
        ? new NoRoom('the disk is full', { cause: error })
        : error;
    }
  }

  async blob(digest: Digest): Promise<BlobRecord | undefined> {
    const row = this.#sql.blob.get(digest) as BlobRow | undefined;
    return row && blobRecord(row);
  }

  async addBlob(blob: FetchedBlob, repository: Repository | undefined): Promise<BlobRecord> {
    return this.transaction(() => {
      this.#insertBlob(blob);
      if (repository !== undefined) this.#prove(repository, blob, blob.storedAt);
      return blobRecord(this.#sql.blob.get(blob.digest) as BlobRow);
    });
  }

  async adoptBlob(blob: Omit<FetchedBlob, 'isPublic'>): Promise<BlobRecord> {
    return this.transaction(() => {
      this.#insertBlob({ ...blob, isPublic: this.#sql.isVouchedPublic.get(blob.digest) !== undefined });
      return blobRecord(this.#sql.blob.get(blob.digest) as BlobRow);
    });
  }

  async forget(digest: Digest, seen?: Parameters<Ledger['forget']>[1]): Promise<boolean> {
    const as = { storedAt: seen?.storedAt ?? null, isHosted: seen === undefined ? null : Number(seen.isHosted) };
    return this.transaction(() => this.#sql.forget.run({ digest, ...as }).changes > 0);
  }

  async manifest(digest: Digest): Promise<ManifestRecord | undefined> {
    const row = this.#sql.manifest.get(digest) as ManifestRow | undefined;
    return row && manifestRecord(row);
  }

  async addManifest(
    manifest: FetchedManifest,
    children: readonly Child[],
    repository: Repository,
  ): Promise<ManifestRecord> {
    return this.transaction(() => {
      this.#insertBlob(manifest);
      this.#sql.addManifest.run(manifest.digest, manifest.mediaType);
      for (const child of children) {
        this.#sql.addChild.run(manifest.digest, child.digest, child.kind, child.size, child.platform ?? null);
      }
      this.#prove(repository, manifest, manifest.storedAt);
      return manifestRecord(this.#sql.manifest.get(manifest.digest) as ManifestRow);
    });
  }

  #insertBlob(blob: FetchedBlob): void {
    this.#sql.addBlob.run(blob.digest, blob.size, Number(blob.isPublic), blob.storedAt, blob.storedAt);
  }

  async statedSize({ registry, name }: Repository, digest: Digest): Promise<number | undefined> {
    return this.#sql.statedSize.pluck().get(digest, registry, name) as number | undefined;
  }

  async isLinked({ registry, name }: Repository, digest: Digest): Promise<boolean> {
    return this.#sql.link.get(registry, name, digest) !== undefined;
  }

  async link(repository: Repository, proof: Proof, provedAt: number): Promise<void> {
    this.transaction(() => this.#prove(repository, proof, provedAt));
  }

  #prove({ registry, name }: Repository, { digest, isPublic }: Proof, at: number): void {
    this.#sql.addLink.run(registry, name, digest, Number(isPublic));
    if (!isPublic) return;
    this.#sql.publish.run(digest);
    this.#sql.setVisibility.run(registry, name, 1, at);
  }

  async tag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    return this.#tag(repository, tag);
  }

  #tag({ registry, name }: Repository, tag: Tag): TagRecord | undefined {
    const row = this.#sql.tag.get(registry, name, tag) as TagRow | undefined;
    return row && tagRecord(row);
  }

  async setTag(repository: Repository, tag: Tag, digest: Digest, checkedAt: number): Promise<TagRecord> {
    return this.transaction(() => {
      const before = this.#tag(repository, tag);
      const fallback = before && this.#fallbackFor(digest, before);
      this.#sql.setTag.run(repository.registry, repository.name, tag, digest, fallback ?? null, checkedAt);
      return { digest, checkedAt, ...(fallback === undefined ? {} : { fallback }) };
    });
  }

  /** Of what the tag stood for, the newest that can do for some platform what `digest` cannot. */
  #fallbackFor(digest: Digest, before: TagRecord): Digest | undefined {
    return [before.digest, before.fallback].find(
      (candidate) => candidate !== undefined && candidate !== digest && !this.#replaces(digest, candidate),
    );
  }

  /** True if every platform for which `older` is complete finds `newer` complete too. */
  #replaces(newer: Digest, older: Digest): boolean {
    const platforms = this.#platforms(newer);
    return this.#platforms(older).every((platform) =>
      platform === anyPlatform ? platforms.length > 0 : platforms.includes(platform) || platforms.includes(anyPlatform),
    );
  }

  /** The platforms whose whole image is stored; {@link anyPlatform} for a manifest that is no index. */
  #platforms(digest: Digest): readonly string[] {
    return this.#sql.completePlatforms.pluck().all({ digest, anyPlatform }) as string[];
  }

  async removeTag({ registry, name }: Repository, tag: Tag): Promise<void> {
    this.transaction(() => this.#sql.removeTag.run(registry, name, tag));
  }

  async settleTag(repository: Repository, tag: Tag): Promise<TagRecord | undefined> {
    return this.transaction(() => {
      const record = this.#tag(repository, tag);
      if (record?.fallback === undefined || !this.#replaces(record.digest, record.fallback)) return record;
      this.#sql.dropFallback.run(repository.registry, repository.name, tag);
      return this.#tag(repository, tag);
    });
  }

  async visibility({ registry, name }: Repository): Promise<{ isPublic: boolean; checkedAt: number } | undefined> {
    const row = this.#sql.visibility.get(registry, name) as { is_public: number; checked_at: number } | undefined;
    return row && { isPublic: row.is_public === 1, checkedAt: row.checked_at };
  }

  async setVisibility({ registry, name }: Repository, isPublic: boolean, checkedAt: number): Promise<void> {
    this.transaction(() => this.#sql.setVisibility.run(registry, name, Number(isPublic), checkedAt));
  }

  async tags({ registry, name }: Repository, { after, limit }: Page): Promise<readonly string[]> {
    return this.#sql.tags.pluck().all(registry, name, after ?? '', limit) as string[];
  }

  async repositories({ after, limit }: Page, listing: Listing): Promise<readonly string[]> {
    return this.#sql.repositories.pluck().all({
      after: after ?? '',
      limit,
      defaultRegistry: listing.defaultRegistry ?? null,
      registries: JSON.stringify(listing.registries),
      listPrivate: JSON.stringify(listing.listPrivate),
    }) as string[];
  }

  async searchRepositories({ after, ...search }: RepositorySearch): Promise<RepositoryMatches> {
    const rows = this.#sql.searchRepositories.all({ ...search, after: after ?? '' }) as SearchRow[];
    return {
      matches: rows
        .filter((row) => row.is_match === 1)
        .map(({ repository, is_stored, is_public }) => ({
          name: repository,
          isStored: is_stored === 1,
          isPublic: is_public === 1,
        })),
      next: rows.find((row) => row.is_last === 1)?.repository,
    };
  }

  touch(digest: Digest, at: number): void {
    this.#marks.mark(digest, at);
  }

  /** Writes last uses that are outstanding. */
  flushMarks(): void {
    this.#marks.flush();
  }

  async leastUsed({
    after,
    limit,
  }: {
    readonly after?: UseOrder | undefined;
    readonly limit: number;
  }): Promise<readonly Unreferenced[]> {
    this.#marks.flush();
    const from = { usedAt: after?.usedAt ?? Number.MIN_SAFE_INTEGER, digest: after?.digest ?? '' };
    return (this.#sql.leastUsed.all({ ...from, limit }) as UnreferencedRow[]).map((row) => ({
      digest: row.digest,
      size: row.size,
      usedAt: row.used_at,
      isManifest: row.is_manifest === 1,
      names: this.#namesOf(row.digest),
    }));
  }

  async evict(digest: Digest, inUse: ReadonlySet<Digest>): Promise<readonly Content[]> {
    this.#marks.flush();
    return this.transaction(() => {
      const evicted: Content[] = [];
      const drop = (candidate: Digest, mayBeManifest: boolean): void => {
        const row = this.#sql.evictable.get(candidate) as EvictableRow | undefined;
        if (row === undefined || inUse.has(candidate) || (row.is_manifest === 1 && !mayBeManifest)) return;
        this.#sql.usedWithTag.run({ digest: candidate });
        this.#sql.fallBack.run(candidate);
        this.#sql.dropTagsOf.run(candidate);
        this.#sql.dropFallbacksTo.run(candidate);
        this.#sql.dropLinksOf.run(candidate);
        const children = this.#sql.childrenOf.pluck().all(candidate) as Digest[];
        this.#sql.removeBlob.run(candidate);
        evicted.push({ digest: candidate, size: row.size });
        for (const child of children) drop(child, false);
      };
      drop(digest, true);
      return evicted;
    });
  }

  async blobs({ after, limit }: Page): Promise<readonly BlobRecord[]> {
    return (this.#sql.blobs.all(after ?? '', limit) as BlobRow[]).map(blobRecord);
  }

  async totals(): Promise<Totals> {
    return this.#sql.totals.get() as Totals;
  }

  async namesOf(digest: Digest): Promise<readonly Name[]> {
    return this.#namesOf(digest);
  }

  #namesOf(digest: Digest): readonly Name[] {
    const names = new Map<string, { readonly repository: Repository; readonly tags: Tag[] }>();
    const nameOf = (row: RepositoryRow) => {
      const repository = { registry: row.registry, name: row.repository };
      const text = repositoryText(repository);
      const name = names.get(text) ?? { repository, tags: [] };
      names.set(text, name);
      return name;
    };
    for (const row of this.#sql.reposOf.all(digest) as RepositoryRow[]) nameOf(row);
    for (const row of this.#sql.tagsOf.all(digest) as (RepositoryRow & { tag: Tag })[]) nameOf(row).tags.push(row.tag);
    return [...names.values()];
  }

  async namesAbove(digest: Digest, limit: number): Promise<readonly ImageName[]> {
    return (this.#sql.namesAbove.all({ digest, limit }) as ImageNameRow[]).map(imageName);
  }

  async imageNames({
    after,
    limit,
  }: {
    readonly after?: ImageName;
    readonly limit: number;
  }): Promise<readonly ImageName[]> {
    const { registry = '', name = '' } = after?.repository ?? {};
    const from = { registry, repository: name, tag: after?.tag ?? '', digest: after?.digest ?? '' };
    return (this.#sql.imageNames.all({ ...from, limit }) as ImageNameRow[]).map(imageName);
  }

  async image(digest: Digest): Promise<Image | undefined> {
    const row = this.#sql.image.get(digest) as { readonly media_type: string; readonly used_at: number } | undefined;
    const below = { digests: JSON.stringify([digest]) };
    return (
      row && {
        digest,
        mediaType: row.media_type,
        usedAt: row.used_at,
        bytes: this.#sql.bytesBelow.pluck().get(below) as number,
        isComplete: this.#sql.missingBelow.get(below) === undefined,
        completePlatforms: this.#platforms(digest).filter((platform) => platform !== anyPlatform),
      }
    );
  }

  async contentOf(digests: readonly Digest[]): Promise<readonly Content[]> {
    return this.#sql.contentOf.all({ digests: JSON.stringify(digests) }) as Content[];
  }

  async pins(): Promise<readonly string[]> {
    return this.#sql.pins.pluck().all() as string[];
  }

  async addPin(pattern: string, at: number): Promise<void> {
    this.transaction(() => this.#sql.addPin.run(pattern, at));
  }

  async removePin(pattern: string): Promise<boolean> {
    return this.transaction(() => this.#sql.removePin.run(pattern).changes > 0);
  }

  /** For filling it anew, before anything uses it. */
  refill(): LedgerRefill {
    return new LedgerRefill(this.#db);
  }

  /** True once after a stop that left nothing to reconcile; from then on false until the next {@link close}. */
  async takeCleanMark(): Promise<boolean> {
    // Synced, or a power loss could bring the mark back after a start that was not followed by a clean stop.
    this.#db.pragma('synchronous = FULL');
    try {
      return this.#sql.takeCleanMark.run().changes > 0;
    } finally {
      this.#db.pragma('synchronous = NORMAL');
    }
  }

  /** Rejects when the file cannot be read. */
  async check(): Promise<void> {
    this.#sql.blob.get('');
  }

  /** Writes what is outstanding and closes the file. */
  close({ clean }: { readonly clean: boolean }): void {
    try {
      this.#marks.flush();
      if (clean) this.#sql.setCleanMark.run();
    } finally {
      this.#db.close();
    }
  }
}

function openFile(path: string): Database.Database {
  const db = openDatabase(path);
  try {
    // First of all: a file that is not ours is left as it is.
    migrate(db);
    db.pragma('journal_mode = WAL');
    // In WAL mode NORMAL can lose the newest commits in a power loss, never the file's soundness; what they recorded is
    // found again by reconciliation or by asking the upstream.
    db.pragma('synchronous = NORMAL');
    db.pragma('foreign_keys = ON');
    return db;
  } catch (error) {
    db.close();
    throw cannotBeOpened(error);
  }
}

function openDatabase(path: string): Database.Database {
  try {
    return new Database(path, { timeout: busyTimeoutMs });
  } catch (error) {
    throw cannotBeOpened(error);
  }
}

function preparedOrClosed<T>(db: Database.Database, prepare: () => T): T {
  try {
    return prepare();
  } catch (error) {
    db.close();
    throw cannotBeOpened(error);
  }
}

function cannotBeOpened(error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`the ledger cannot be opened: ${reason}`, { cause: error });
}

/** What a manifest that is no index is complete for: the tag gives it to every asker alike. */
const anyPlatform = '*';

function blobRecord(row: BlobRow): BlobRecord {
  return {
    digest: row.digest,
    size: row.size,
    isPublic: row.is_public === 1,
    isHosted: row.is_hosted === 1,
    storedAt: row.stored_at,
  };
}

function manifestRecord(row: ManifestRow): ManifestRecord {
  return { ...blobRecord(row), mediaType: row.media_type };
}

function imageName({ registry, repository, tag, digest, checked_at }: ImageNameRow): ImageName {
  return {
    repository: { registry, name: repository },
    tag: tag === '' || tag === null ? undefined : tag,
    digest,
    checkedAt: checked_at ?? undefined,
  };
}

function tagRecord(row: TagRow): TagRecord {
  return {
    digest: row.digest,
    checkedAt: row.checked_at,
    ...(row.fallback === null ? {} : { fallback: row.fallback }),
  };
}
