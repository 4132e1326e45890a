import type Database from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Repository, RepositoryName } from '../oci/repository-name.ts';
import type { BlobFact, Fact, TagFact } from './facts.ts';

interface BlobRow {
  readonly digest: Digest;
  readonly size: number;
  readonly is_public: number;
  readonly is_hosted: number;
  readonly stored_at: number;
  readonly media_type: string | null;
}

interface RepositoryRow {
  readonly registry: string;
  readonly repository: RepositoryName;
}

interface LinkRow extends RepositoryRow {
  readonly digest: Digest;
  readonly is_public: number;
}

interface TagRow extends RepositoryRow {
  readonly digest: Digest;
  readonly tag: Tag;
  readonly fallback: Digest | null;
  readonly checked_at: number;
}

interface VisibilityRow extends RepositoryRow {
  readonly is_public: number;
  readonly checked_at: number;
}

interface PinRow {
  readonly pattern: string;
  readonly pinned_at: number;
}

/** One page takes some milliseconds, during which nothing else happens. */
const rowsAtOnce = 500;

/** What the journal tells, read synchronously: in the tick in which a line is written, the row is as the line says. */
export class LedgerRows {
  readonly #sql: ReturnType<typeof prepare>;

  constructor(db: Pick<Database.Database, 'prepare'>) {
    this.#sql = prepare(db);
  }

  blob(digest: Digest): BlobFact | undefined {
    const row = this.#sql.blob.get(digest) as BlobRow | undefined;
    return row && blobFact(row);
  }

  link(repository: Repository, digest: Digest): Fact | undefined {
    const row = this.#sql.link.get(repository.registry, repository.name, digest) as LinkRow | undefined;
    return row && linkFact(row);
  }

  tag({ registry, name }: Repository, tag: Tag): TagFact | undefined {
    const row = this.#sql.tag.get(registry, name, tag) as TagRow | undefined;
    return row && tagFact(row);
  }

  visibility({ registry, name }: Repository): Fact | undefined {
    const row = this.#sql.visibility.get(registry, name) as VisibilityRow | undefined;
    return row && visibilityFact(row);
  }

  pin(pattern: string): Fact | undefined {
    const row = this.#sql.pin.get(pattern) as PinRow | undefined;
    return row && pinFact(row);
  }

  /** All of it, a page at a time: each is read when it is asked for, whatever was written since the one before. */
  *pages(): Generator<readonly Fact[], void, undefined> {
    const { blobs, links, tags, visibilities, pins } = this.#sql;
    yield* paged({ digest: '' }, (after) => blobs.all({ ...after, limit: rowsAtOnce }) as BlobRow[], blobFact);
    const start = { registry: '', repository: '', digest: '', tag: '' };
    yield* paged(start, (after) => links.all({ ...after, limit: rowsAtOnce }) as LinkRow[], linkFact);
    yield* paged(start, (after) => tags.all({ ...after, limit: rowsAtOnce }) as TagRow[], tagFact);
    const read = (after: object) => visibilities.all({ ...after, limit: rowsAtOnce }) as VisibilityRow[];
    yield* paged(start, read, visibilityFact);
    yield* paged({ pattern: '' }, (after) => pins.all({ ...after, limit: rowsAtOnce }) as PinRow[], pinFact);
  }

  /** A note of this program on the ledger itself. */
  note(name: string): string | undefined {
    return this.#sql.note.pluck().get(name) as string | undefined;
  }

  /** Undefined removes it. */
  setNote(name: string, value: string | undefined): void {
    if (value === undefined) this.#sql.removeNote.run(name);
    else this.#sql.setNote.run(name, value);
  }
}

function* paged<Row extends object>(
  start: object,
  read: (after: object) => readonly Row[],
  factOf: (row: Row) => Fact,
): Generator<readonly Fact[], void, undefined> {
  for (let after: object | undefined = start; after !== undefined; ) {
    const rows = read(after);
    if (rows.length > 0) yield rows.map(factOf);
    after = rows.at(-1);
  }
}

function blobFact(row: BlobRow): BlobFact {
  return {
    is: 'blob',
    digest: row.digest,
    size: row.size,
    public: row.is_public === 1,
    hosted: row.is_hosted === 1,
    storedAt: row.stored_at,
    ...(row.media_type === null ? {} : { mediaType: row.media_type }),
  };
}

function repositoryOf({ registry, repository }: RepositoryRow): Repository {
  return { registry, name: repository };
}

function linkFact(row: LinkRow): Fact {
  return { is: 'link', repository: repositoryOf(row), digest: row.digest, public: row.is_public === 1 };
}

function tagFact(row: TagRow): TagFact {
  return {
    is: 'tag',
    repository: repositoryOf(row),
    tag: row.tag,
    digest: row.digest,
    ...(row.fallback === null ? {} : { fallback: row.fallback }),
    checkedAt: row.checked_at,
  };
}

function visibilityFact(row: VisibilityRow): Fact {
  return { is: 'visibility', repository: repositoryOf(row), public: row.is_public === 1, checkedAt: row.checked_at };
}

function pinFact(row: PinRow): Fact {
  return { is: 'pin', pattern: row.pattern, at: row.pinned_at };
}

function prepare(db: Pick<Database.Database, 'prepare'>) {
  const blob = `
    SELECT digest, size, is_public, is_hosted, stored_at, media_type FROM blobs LEFT JOIN manifests USING (digest)`;
  const link = 'SELECT registry, repository, digest, is_public FROM links';
  const tag = 'SELECT registry, repository, tag, digest, fallback, checked_at FROM tags';
  const visibility = 'SELECT registry, repository, is_public, checked_at FROM repositories';
  const pin = 'SELECT pattern, pinned_at FROM pins';
  return {
    blob: db.prepare(`${blob} WHERE digest = ?`),
    link: db.prepare(`${link} WHERE registry = ? AND repository = ? AND digest = ?`),
    tag: db.prepare(`${tag} WHERE registry = ? AND repository = ? AND tag = ?`),
    visibility: db.prepare(`${visibility} WHERE registry = ? AND repository = ?`),
    pin: db.prepare(`${pin} WHERE pattern = ?`),

    blobs: db.prepare(`${blob} WHERE digest > @digest ORDER BY digest LIMIT @limit`),
    links: db.prepare(`
      ${link} WHERE (registry, repository, digest) > (@registry, @repository, @digest)
      ORDER BY registry, repository, digest LIMIT @limit`),
    tags: db.prepare(`
      ${tag} WHERE (registry, repository, tag) > (@registry, @repository, @tag)
      ORDER BY registry, repository, tag LIMIT @limit`),
    visibilities: db.prepare(`
      ${visibility} WHERE (registry, repository) > (@registry, @repository) ORDER BY registry, repository LIMIT @limit`),
    pins: db.prepare(`${pin} WHERE pattern > @pattern ORDER BY pattern LIMIT @limit`),

    note: db.prepare('SELECT value FROM facts WHERE name = ?'),
    setNote: db.prepare('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)'),
    removeNote: db.prepare('DELETE FROM facts WHERE name = ?'),
  };
}
