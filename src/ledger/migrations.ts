import type Database from 'better-sqlite3';

/**
 * Numbered from 1; `user_version` tells how many a file has had. A migration that has been released is never changed.
 *
 * `blobs` has a row for everything under blobs/, manifests included; `manifests` adds what makes one of them a manifest.
 * `links` is the proof of promise 8: this repository's upstream answered 2xx for this digest in it.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE blobs (
    digest    TEXT PRIMARY KEY,
    size      INTEGER NOT NULL CHECK (size >= 0),
    is_public INTEGER NOT NULL CHECK (is_public IN (0, 1)),
    stored_at INTEGER NOT NULL,
    used_at   INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE manifests (
    digest     TEXT PRIMARY KEY REFERENCES blobs (digest) ON DELETE CASCADE,
    media_type TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE children (
    parent   TEXT NOT NULL REFERENCES manifests (digest) ON DELETE CASCADE,
    child    TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('manifest', 'blob')),
    size     INTEGER NOT NULL,
    platform TEXT,
    PRIMARY KEY (parent, child)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX children_by_child ON children (child);

  CREATE TABLE links (
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (registry, repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX links_by_digest ON links (digest);

  CREATE TABLE tags (
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    digest     TEXT NOT NULL,
    fallback   TEXT,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (registry, repository, tag)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE repositories (
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    is_public  INTEGER NOT NULL CHECK (is_public IN (0, 1)),
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (registry, repository)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // `links.is_public`: the answer was given to a request without credentials.
  // `parents`: how many stored manifests refer to the blob; what has none is in blobs_to_go, in the order of use.
  `
  ALTER TABLE links ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1));

  ALTER TABLE blobs ADD COLUMN parents INTEGER NOT NULL DEFAULT 0;
  UPDATE blobs SET parents = (SELECT COUNT(*) FROM children WHERE child = digest);
  CREATE INDEX blobs_to_go ON blobs (used_at, digest) WHERE parents = 0;
  CREATE INDEX manifests_by_child ON children (child) WHERE kind = 'manifest';
  CREATE INDEX tags_by_digest ON tags (digest);
  CREATE INDEX tags_by_fallback ON tags (fallback) WHERE fallback IS NOT NULL;

  CREATE TRIGGER blob_finds_its_parents AFTER INSERT ON blobs
  WHEN EXISTS (SELECT 1 FROM children WHERE child = NEW.digest) BEGIN
    UPDATE blobs SET parents = (SELECT COUNT(*) FROM children WHERE child = NEW.digest) WHERE digest = NEW.digest;
  END;
  CREATE TRIGGER child_gets_a_parent AFTER INSERT ON children BEGIN
    UPDATE blobs SET parents = parents + 1 WHERE digest = NEW.child;
  END;
  CREATE TRIGGER child_loses_a_parent AFTER DELETE ON children BEGIN
    UPDATE blobs SET parents = parents - 1 WHERE digest = OLD.child;
  END;
  CREATE TRIGGER children_were_used_with_their_parent BEFORE DELETE ON blobs BEGIN
    UPDATE blobs SET used_at = OLD.used_at
    WHERE used_at < OLD.used_at AND digest IN (SELECT child FROM children WHERE parent = OLD.digest);
  END;

  CREATE TABLE totals (blobs INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
  INSERT INTO totals SELECT COUNT(*), COALESCE(SUM(size), 0) FROM blobs;
  CREATE TRIGGER total_of_added AFTER INSERT ON blobs BEGIN
    UPDATE totals SET blobs = blobs + 1, bytes = bytes + NEW.size;
  END;
  CREATE TRIGGER total_of_changed AFTER UPDATE OF size ON blobs WHEN NEW.size <> OLD.size BEGIN
    UPDATE totals SET bytes = bytes + NEW.size - OLD.size;
  END;
  CREATE TRIGGER total_of_removed AFTER DELETE ON blobs BEGIN
    UPDATE totals SET blobs = blobs - 1, bytes = bytes - OLD.size;
  END;

  CREATE TABLE pins (
    pattern   TEXT PRIMARY KEY,
    pinned_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // `blobs.is_hosted`: not cached but hosted here, and so out of the cap. It is set with the first link of a hosted repository,
  // whose registry is '', and taken back by nothing but garbage collection.
  // `referrers`: manifests by the subject they name.
  `
  ALTER TABLE blobs ADD COLUMN is_hosted INTEGER NOT NULL DEFAULT 0 CHECK (is_hosted IN (0, 1));
  DROP INDEX blobs_to_go;
  CREATE INDEX blobs_to_go ON blobs (used_at, digest) WHERE parents = 0 AND is_hosted = 0;
  CREATE INDEX hosted_blobs ON blobs (digest) WHERE is_hosted = 1;

  ALTER TABLE totals ADD COLUMN hosted_blobs INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE totals ADD COLUMN hosted_bytes INTEGER NOT NULL DEFAULT 0;
  CREATE TRIGGER hosted_total_of_added AFTER INSERT ON blobs WHEN NEW.is_hosted = 1 BEGIN
    UPDATE totals SET hosted_blobs = hosted_blobs + 1, hosted_bytes = hosted_bytes + NEW.size;
  END;
  CREATE TRIGGER hosted_total_of_changed AFTER UPDATE OF size, is_hosted ON blobs BEGIN
    UPDATE totals SET hosted_blobs = hosted_blobs + NEW.is_hosted - OLD.is_hosted,
      hosted_bytes = hosted_bytes + NEW.is_hosted * NEW.size - OLD.is_hosted * OLD.size;
  END;
  CREATE TRIGGER hosted_total_of_removed AFTER DELETE ON blobs WHEN OLD.is_hosted = 1 BEGIN
    UPDATE totals SET hosted_blobs = hosted_blobs - 1, hosted_bytes = hosted_bytes - OLD.size;
  END;

  CREATE TABLE referrers (
    subject       TEXT NOT NULL,
    digest        TEXT NOT NULL REFERENCES manifests (digest) ON DELETE CASCADE,
    artifact_type TEXT,
    annotations   TEXT,
    PRIMARY KEY (subject, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX referrers_by_digest ON referrers (digest);

  CREATE TRIGGER what_is_held_is_hosted AFTER INSERT ON blobs
  WHEN NEW.is_hosted = 0 AND EXISTS (SELECT 1 FROM links WHERE digest = NEW.digest AND registry = '') BEGIN
    UPDATE blobs SET is_hosted = 1 WHERE digest = NEW.digest;
  END;
  `,
];

/** Brings the file to the newest layout, all or nothing. Throws for a file written by a newer version or another program. */
export function migrate(db: Database.Database): void {
  const from = layoutOf(db);
  if (from === migrations.length) return;
  db.transaction(() => {
    for (const migration of migrations.slice(from)) db.exec(migration);
    db.pragma(`user_version = ${migrations.length}`);
  })();
}

/** How many migrations the file has had. Throws for a file written by a newer version or another program. */
export function layoutOf(db: Database.Database): number {
  const from = db.pragma('user_version', { simple: true }) as number;
  if (from > migrations.length) {
    throw new Error(
      `ledger.db has layout ${from}, this version knows ${migrations.length}: it was written by a newer one`,
    );
  }
  if (from === 0 && db.prepare('SELECT 1 FROM sqlite_schema').get() !== undefined) {
    throw new Error('ledger.db is a database of another program');
  }
  return from;
}
