import type Database from 'better-sqlite3';
import type { HostedBlob, HostedManifest, HostedTag, Referrer, ReferrerEntry, TakenBack } from '../hosted/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { Tag } from '../oci/reference.ts';
import { hostedRepository, type Repository, type RepositoryName } from '../oci/repository-name.ts';

interface ReferrerRow {
  readonly digest: Digest;
  readonly size: number;
  readonly media_type: string;
  readonly artifact_type: string | null;
  readonly annotations: string | null;
}

interface LinkRow {
  readonly repository: RepositoryName;
  readonly digest: Digest;
  readonly size: number;
}

interface TagRow {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly checked_at: number;
}

interface StrayLink {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly size: number;
}

/** What the ledger has of hosting, synchronously: each method is to be called in one transaction. */
export class HostedRows {
  readonly #sql: ReturnType<typeof prepare>;

  constructor(db: Pick<Database.Database, 'prepare'>) {
    this.#sql = prepare(db);
  }

  addUpload({ name }: Repository, { digest, size, storedAt }: HostedBlob): void {
    this.#sql.hostBlob.run(digest, size, storedAt, storedAt);
    this.#sql.link.run(name, digest);
  }

  addMount({ name }: Repository, digest: Digest, at: number): void {
    this.#sql.mount.run({ digest, at });
    this.#sql.link.run(name, digest);
  }

  addManifest(repository: Repository, manifest: HostedManifest, children: readonly Child[], referrer?: Referrer): void {
    const { digest, mediaType } = manifest;
    this.addUpload(repository, manifest);
    this.#sql.addManifest.run(digest, mediaType);
    for (const child of children) {
      this.#sql.addChild.run(digest, child.digest, child.kind, child.size, child.platform ?? null);
    }
    if (referrer === undefined) return;
    const { subject, artifactType, annotations } = referrer;
    const annotationsText = annotations === undefined ? null : JSON.stringify(annotations);
    this.#sql.addReferrer.run(subject, digest, artifactType ?? null, annotationsText);
  }

  holders(digest: Digest, limit: number): readonly Repository[] {
    return this.#sql.holders.all(digest, limit) as Repository[];
  }

  notHeld({ name }: Repository, children: readonly Child[]): readonly Digest[] {
    return children
      .filter(({ digest, kind }) => this.#sql.isHeld.get({ name, digest, kind }) === undefined)
      .map(({ digest }) => digest);
  }

  isListedAsBlob({ name }: Repository, digest: Digest): boolean {
    return this.#sql.isListedAsBlob.get({ name, digest }) !== undefined;
  }

  setTag({ name }: Repository, tag: Tag, digest: Digest, pushedAt: number): void {
    this.#sql.setTag.run(name, tag, digest, pushedAt);
  }

  removeTag({ name }: Repository, tag: Tag): void {
    this.#sql.removeTag.run(name, tag);
  }

  /** Gives the tags that went with it. */
  unlink({ name }: Repository, digest: Digest): readonly Tag[] {
    const tags = this.#sql.tagsOf.pluck().all(name, digest) as Tag[];
    this.#sql.unlink.run(name, digest);
    this.#sql.dropTagsOf.run(name, digest);
    return tags;
  }

  tags({ name }: Repository): readonly HostedTag[] {
    return (this.#sql.tags.all(name) as TagRow[]).map(({ tag, digest, checked_at }) => ({
      tag,
      digest,
      pushedAt: checked_at,
    }));
  }

  manifests({ name }: Repository): readonly Digest[] {
    return this.#sql.manifests.pluck().all(name) as Digest[];
  }

  untagged({ name }: Repository, before: number): readonly Digest[] {
    return this.#sql.untagged.pluck().all({ name, before }) as Digest[];
  }

  lacksSomething({ name }: Repository): boolean {
    return this.#sql.lostOf.get(name) !== undefined;
  }

  repositories(): readonly RepositoryName[] {
    return this.#sql.repositories.pluck().all() as RepositoryName[];
  }

  lost(limit: number): readonly Digest[] {
    return this.#sql.lost.pluck().all(limit) as Digest[];
  }

  referrers(
    { name }: Repository,
    subject: Digest,
    page: { readonly artifactType: string | undefined; readonly after: string | undefined; readonly limit: number },
  ): readonly ReferrerEntry[] {
    const { artifactType = null, after = '', limit } = page;
    return (this.#sql.referrers.all({ name, subject, artifactType, after, limit }) as ReferrerRow[]).map(referrerEntry);
  }

  strayLinks(page: {
    readonly before: number;
    readonly after: { readonly repository: Repository; readonly digest: Digest } | undefined;
    readonly limit: number;
  }): readonly StrayLink[] {
    const { before, after, limit } = page;
    const from = { afterName: after?.repository.name ?? '', afterDigest: after?.digest ?? '' };
    const rows = this.#sql.strayLinks.all({ before, limit, ...from }) as LinkRow[];
    return rows.map(({ repository, digest, size }) => ({ repository: hostedRepository(repository), digest, size }));
  }

  /** False when it is needed, or was used, after all. */
  dropStray({ name }: Repository, digest: Digest, before: number): boolean {
    return this.#sql.dropStray.run({ name, digest, before }).changes > 0;
  }

  unheld(page: {
    readonly before: number;
    readonly after: string | undefined;
    readonly limit: number;
  }): readonly HostedBlob[] {
    const { before, after = '', limit } = page;
    return this.#sql.unheld.all({ before, after, limit }) as HostedBlob[];
  }

  takeBack(digest: Digest, before: number, hasRoom: boolean): TakenBack {
    if (this.#sql.isUnheld.get({ digest, before }) === undefined) return 'hosted';
    if (this.#sql.isCachedToo.get({ digest }) !== undefined) {
      if (!hasRoom) return 'needs room';
      this.#sql.cacheAgain.run(digest);
      return 'cached';
    }
    if (this.#sql.hasParents.get(digest) !== undefined) return 'hosted';
    this.#sql.removeBlob.run(digest);
    return 'gone';
  }
}

function referrerEntry(row: ReferrerRow): ReferrerEntry {
  return {
    digest: row.digest,
    size: row.size,
    mediaType: row.media_type,
    artifactType: row.artifact_type ?? undefined,
    // Written by addManifest.
    annotations: row.annotations === null ? undefined : (JSON.parse(row.annotations) as Record<string, string>),
  };
}

function prepare(db: Pick<Database.Database, 'prepare'>) {
  const isStray = `
    links.registry = '' AND used_at < @before
    AND NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = links.digest)
    AND NOT EXISTS (
      SELECT 1 FROM children JOIN links above ON above.digest = children.parent
      WHERE children.child = links.digest AND above.registry = '' AND above.repository = links.repository
    )`;
  const isUnheld = `
    is_hosted = 1 AND used_at < @before
    AND NOT EXISTS (SELECT 1 FROM links WHERE links.digest = blobs.digest AND links.registry = '')`;
  return {
    hostBlob: db.prepare(`
      INSERT INTO blobs (digest, size, is_public, stored_at, used_at, is_hosted) VALUES (?, ?, 0, ?, ?, 1)
      ON CONFLICT (digest) DO UPDATE SET
        size = excluded.size, stored_at = excluded.stored_at, used_at = MAX(used_at, excluded.used_at), is_hosted = 1`),
    mount: db.prepare('UPDATE blobs SET is_hosted = 1, used_at = MAX(used_at, @at) WHERE digest = @digest'),
    link: db.prepare("INSERT OR IGNORE INTO links (registry, repository, digest) VALUES ('', ?, ?)"),
    unlink: db.prepare("DELETE FROM links WHERE registry = '' AND repository = ? AND digest = ?"),
    lostOf: db.prepare(`
      SELECT 1 FROM links WHERE registry = '' AND repository = ?
      AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = links.digest) LIMIT 1`),
    holders: db.prepare('SELECT registry, repository AS name FROM links WHERE digest = ? LIMIT ?'),
    isHeld: db.prepare(`
      SELECT 1 FROM links JOIN blobs USING (digest)
      WHERE registry = '' AND repository = @name AND digest = @digest
      AND (@kind = 'blob' OR EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = @digest))`),
    isListedAsBlob: db.prepare(`
      SELECT 1 FROM children JOIN links ON links.digest = children.parent
      WHERE child = @digest AND kind = 'blob' AND registry = '' AND repository = @name`),
    addManifest: db.prepare('INSERT OR IGNORE INTO manifests (digest, media_type) VALUES (?, ?)'),
    addChild: db.prepare('INSERT OR IGNORE INTO children (parent, child, kind, size, platform) VALUES (?, ?, ?, ?, ?)'),
    addReferrer: db.prepare(`
      INSERT OR REPLACE INTO referrers (subject, digest, artifact_type, annotations) VALUES (?, ?, ?, ?)`),
    setTag: db.prepare(`
      INSERT OR REPLACE INTO tags (registry, repository, tag, digest, fallback, checked_at)
      VALUES ('', ?, ?, ?, NULL, ?)`),
    removeTag: db.prepare("DELETE FROM tags WHERE registry = '' AND repository = ? AND tag = ?"),
    tagsOf: db.prepare("SELECT tag FROM tags WHERE registry = '' AND repository = ? AND digest = ?"),
    dropTagsOf: db.prepare("DELETE FROM tags WHERE registry = '' AND repository = ? AND digest = ?"),
    tags: db.prepare("SELECT tag, digest, checked_at FROM tags WHERE registry = '' AND repository = ? ORDER BY tag"),
    manifests: db.prepare(
      "SELECT digest FROM links JOIN manifests USING (digest) WHERE registry = '' AND repository = ? ORDER BY digest",
    ),
    // What an index lists, and what refers to something that is there, has a use without a tag.
    untagged: db.prepare(`
      SELECT links.digest FROM links JOIN manifests USING (digest) JOIN blobs USING (digest)
      WHERE links.registry = '' AND links.repository = @name AND used_at < @before
      AND NOT EXISTS (
        SELECT 1 FROM tags WHERE tags.digest = links.digest AND tags.registry = '' AND tags.repository = @name
      )
      AND NOT EXISTS (
        SELECT 1 FROM children JOIN links above ON above.digest = children.parent
        WHERE children.child = links.digest AND above.registry = '' AND above.repository = @name
      )
      AND NOT EXISTS (
        SELECT 1 FROM referrers JOIN links subject ON subject.digest = referrers.subject
        WHERE referrers.digest = links.digest AND subject.registry = '' AND subject.repository = @name
      )`),
    repositories: db.prepare(`
      SELECT DISTINCT repository FROM (
        SELECT repository FROM links WHERE registry = '' UNION SELECT repository FROM tags WHERE registry = ''
      ) ORDER BY repository`),
    lost: db.prepare(`
      SELECT DISTINCT digest FROM links
      WHERE registry = '' AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = links.digest)
      ORDER BY digest LIMIT ?`),
    referrers: db.prepare(`
      SELECT digest, size, media_type, artifact_type, annotations
      FROM referrers JOIN links USING (digest) JOIN manifests USING (digest) JOIN blobs USING (digest)
      WHERE subject = @subject AND registry = '' AND repository = @name AND digest > @after
      AND (@artifactType IS NULL OR artifact_type = @artifactType)
      ORDER BY digest LIMIT @limit`),
    strayLinks: db.prepare(`
      SELECT repository, links.digest AS digest, size FROM links JOIN blobs USING (digest)
      WHERE ${isStray} AND (repository, links.digest) > (@afterName, @afterDigest)
      ORDER BY repository, links.digest LIMIT @limit`),
    dropStray: db.prepare(`
      DELETE FROM links WHERE registry = '' AND repository = @name AND digest = @digest
      AND EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = links.digest AND ${isStray})`),
    unheld: db.prepare(`
      SELECT digest, size, stored_at AS storedAt FROM blobs
      WHERE ${isUnheld} AND digest > @after ORDER BY digest LIMIT @limit`),
    isUnheld: db.prepare(`SELECT 1 FROM blobs WHERE digest = @digest AND ${isUnheld}`),
    isCachedToo: db.prepare(`
      SELECT 1 WHERE EXISTS (SELECT 1 FROM links WHERE digest = @digest)
      OR EXISTS (
        SELECT 1 FROM children JOIN blobs above ON above.digest = children.parent
        WHERE children.child = @digest AND above.is_hosted = 0
      )`),
    hasParents: db.prepare('SELECT 1 FROM children WHERE child = ?'),
    cacheAgain: db.prepare('UPDATE blobs SET is_hosted = 0 WHERE digest = ?'),
    removeBlob: db.prepare('DELETE FROM blobs WHERE digest = ?'),
  };
}
