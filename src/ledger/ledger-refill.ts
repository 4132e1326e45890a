import type Database from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Child } from '../oci/manifest.ts';
import type { BlobFact, Fact } from './facts.ts';

/** A file that the store has, and what it holds below it when it is a manifest. */
export interface FoundBlob {
  readonly digest: Digest;
  readonly children: readonly Child[];
}

export interface Refilled {
  /** Without the manifests. */
  readonly blobs: number;
  readonly manifests: number;
  readonly tags: number;
}

/** Rows looked through at once for those whose file is missing. */
const sweepRows = 5_000;

/** Stands in `used_at` of a blob whose file was not found yet. */
const notFoundYet = -1;

/** Of the new file, in memory: history comes in no order, and every line would write pages that the next one reads again. */
const cacheBytes = 64 * 1024 * 1024;
/** The log of the new file grows to this before it is carried over. */
const logPages = 16_384;

/**
 * Fills a new ledger from facts, as they come, and then with what the store has. Only then is it a ledger that can be used,
 * and only then is it on disk for sure: what a power loss makes of it before is thrown away. Each method but the last is one
 * synchronous transaction.
 */
export class LedgerRefill {
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof prepare>;
  /** What the settings were. */
  readonly #usual: string[] = [];
  #sweptTo = '';

  constructor(db: Database.Database) {
    this.#db = db;
    this.#sql = prepare(db);
    const settings = { synchronous: 0, cache_size: -cacheBytes / 1024, wal_autocheckpoint: logPages };
    for (const [name, value] of Object.entries(settings)) {
      this.#usual.push(`${name} = ${String(db.pragma(name, { simple: true }))}`);
      db.pragma(`${name} = ${value}`);
    }
  }

  apply(facts: readonly Fact[]): void {
    this.#db.transaction(() => {
      for (const fact of facts) this.#apply(fact);
    })();
  }

  #apply(fact: Fact): void {
    switch (fact.is) {
      case 'blob':
        return this.#putBlob(fact);
      case 'forgotten':
        return void this.#sql.removeBlob.run(fact.digest);
      case 'evicted':
        return this.#evict(fact.digest);
      case 'link': {
        const { repository, digest } = fact;
        return void this.#sql.putLink.run(repository.registry, repository.name, digest, Number(fact.public));
      }
      case 'no link':
        return void this.#sql.removeLink.run(fact.repository.registry, fact.repository.name, fact.digest);
      case 'tag': {
        const { repository, tag, digest, fallback, checkedAt } = fact;
        return void this.#sql.putTag.run(
          repository.registry,
          repository.name,
          tag,
          digest,
          fallback ?? null,
          checkedAt,
        );
      }
      case 'no tag':
        return void this.#sql.removeTag.run(fact.repository.registry, fact.repository.name, fact.tag);
      case 'visibility': {
        const { repository, checkedAt } = fact;
        return void this.#sql.putVisibility.run(repository.registry, repository.name, Number(fact.public), checkedAt);
      }
      case 'pin':
        return void this.#sql.putPin.run(fact.pattern, fact.at);
      case 'no pin':
        return void this.#sql.removePin.run(fact.pattern);
    }
  }

  /** As the fact says, and not as public as it ever was: the line that took that back may be the one that was lost. */
  #putBlob({ digest, size, public: isPublic, hosted, storedAt, mediaType }: BlobFact): void {
    this.#sql.putBlob.run(digest, size, Number(isPublic), Number(hosted), storedAt);
    if (mediaType === undefined) this.#sql.removeManifest.run(digest);
    else this.#sql.putManifest.run(digest, mediaType);
  }

  #evict(digest: Digest): void {
    this.#sql.fallBack.run(digest);
    this.#sql.dropTagsOf.run(digest);
    this.#sql.dropFallbacksTo.run(digest);
    this.#sql.dropLinksOf.run(digest);
    this.#sql.removeBlob.run(digest);
  }

  found(blobs: readonly FoundBlob[]): void {
    this.#db.transaction(() => {
      for (const { digest, children } of blobs) {
        this.#sql.found.run(digest);
        for (const child of children) {
          this.#sql.putChild.run(digest, child.digest, child.kind, child.size, child.platform ?? null);
        }
      }
    })();
  }

  /** Drops the next of those that were not found; gives their number, undefined after the last. */
  sweep(): number | undefined {
    return this.#db.transaction(() => {
      const from = this.#sweptTo;
      const to = this.#sql.sweepTo.pluck().get(from) as Digest | undefined;
      if (to === undefined) return undefined;
      this.#sweptTo = to;
      return this.#sql.sweep.run(from, to).changes;
    })();
  }

  /** Gives the number of tags that named nothing which is stored. */
  settleTags(now: number): number {
    return this.#db.transaction(() => {
      this.#sql.fallBackAll.run();
      const dropped = this.#sql.dropLostTags.run().changes;
      this.#sql.usedWithTag.run({ now });
      return dropped;
    })();
  }

  counts(): Refilled {
    return this.#sql.counts.get() as Refilled;
  }

  /** Makes it a ledger like any other, durably, with the report on it; then removes the note that it is being filled. */
  end(notes: { readonly removed: string; readonly report?: { readonly name: string; readonly value: string } }): void {
    this.#db.pragma('synchronous = FULL');
    if (notes.report !== undefined) this.#sql.setNote.run(notes.report.name, notes.report.value);
    // Syncs the whole file.
    this.#db.pragma('wal_checkpoint(TRUNCATE)');
    this.#sql.removeNote.run(notes.removed);
    for (const setting of this.#usual) this.#db.pragma(setting);
  }
}

function prepare(db: Database.Database) {
  return {
    putBlob: db.prepare(`
      INSERT INTO blobs (digest, size, is_public, is_hosted, stored_at, used_at) VALUES (?, ?, ?, ?, ?, ${notFoundYet})
      ON CONFLICT (digest) DO UPDATE SET
        size = excluded.size, is_public = excluded.is_public, is_hosted = excluded.is_hosted,
        stored_at = excluded.stored_at`),
    putManifest: db.prepare(`
      INSERT INTO manifests (digest, media_type) VALUES (?, ?)
      ON CONFLICT (digest) DO UPDATE SET media_type = excluded.media_type`),
    removeManifest: db.prepare('DELETE FROM manifests WHERE digest = ?'),
    removeBlob: db.prepare('DELETE FROM blobs WHERE digest = ?'),
    putLink: db.prepare('INSERT OR REPLACE INTO links (registry, repository, digest, is_public) VALUES (?, ?, ?, ?)'),
    removeLink: db.prepare('DELETE FROM links WHERE registry = ? AND repository = ? AND digest = ?'),
    putTag: db.prepare(`
      INSERT OR REPLACE INTO tags (registry, repository, tag, digest, fallback, checked_at) VALUES (?, ?, ?, ?, ?, ?)`),
    removeTag: db.prepare('DELETE FROM tags WHERE registry = ? AND repository = ? AND tag = ?'),
    putVisibility: db.prepare(`
      INSERT OR REPLACE INTO repositories (registry, repository, is_public, checked_at) VALUES (?, ?, ?, ?)`),
    putPin: db.prepare('INSERT OR REPLACE INTO pins (pattern, pinned_at) VALUES (?, ?)'),
    removePin: db.prepare('DELETE FROM pins WHERE pattern = ?'),

    fallBack: db.prepare(`
      UPDATE tags SET digest = fallback, fallback = NULL, checked_at = 0 WHERE digest = ? AND fallback IS NOT NULL`),
    dropTagsOf: db.prepare('DELETE FROM tags WHERE digest = ?'),
    dropFallbacksTo: db.prepare('UPDATE tags SET fallback = NULL WHERE fallback = ?'),
    dropLinksOf: db.prepare('DELETE FROM links WHERE digest = ?'),

    found: db.prepare('UPDATE blobs SET used_at = stored_at WHERE digest = ?'),
    putChild: db.prepare(`
      INSERT OR IGNORE INTO children (parent, child, kind, size, platform) VALUES (?, ?, ?, ?, ?)`),
    sweepTo: db.prepare(`
      SELECT MAX(digest) FROM (SELECT digest FROM blobs WHERE digest > ? ORDER BY digest LIMIT ${sweepRows})
      HAVING COUNT(*) > 0`),
    sweep: db.prepare(`DELETE FROM blobs WHERE digest > ? AND digest <= ? AND used_at = ${notFoundYet}`),

    fallBackAll: db.prepare(`
      UPDATE tags SET digest = fallback, fallback = NULL, checked_at = 0
      WHERE digest NOT IN (SELECT digest FROM manifests) AND fallback IN (SELECT digest FROM manifests)`),
    dropLostTags: db.prepare('DELETE FROM tags WHERE digest NOT IN (SELECT digest FROM manifests)'),
    // Tags are confirmed when somebody asks for them: the best that is known of the last use.
    usedWithTag: db.prepare(`
      UPDATE blobs SET used_at = MAX(used_at, (
        SELECT MAX(MIN(checked_at, @now)) FROM tags WHERE tags.digest = blobs.digest
      )) WHERE digest IN (SELECT digest FROM tags)`),
    counts: db.prepare(`
      SELECT totals.blobs - (SELECT COUNT(*) FROM manifests) AS blobs,
        (SELECT COUNT(*) FROM manifests) AS manifests, (SELECT COUNT(*) FROM tags) AS tags FROM totals`),

    setNote: db.prepare('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)'),
    removeNote: db.prepare('DELETE FROM facts WHERE name = ?'),
  };
}
