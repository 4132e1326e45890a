import type Database from 'better-sqlite3';

/** All the SQL there is, prepared once per open file. */
export type Statements = ReturnType<typeof prepare>;

// A manifest is whole when everything directly below it is stored. What an index lists is judged per entry.
const isWhole = (manifest: string) => `
  EXISTS (SELECT 1 FROM manifests WHERE digest = ${manifest})
  AND NOT EXISTS (
    SELECT 1 FROM children c WHERE c.parent = ${manifest}
    AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = c.child)
  )`;

export function prepare(db: Database.Database) {
  return {
    blob: db.prepare('SELECT digest, size, is_public, stored_at FROM blobs WHERE digest = ?'),
    blobs: db.prepare('SELECT digest, size, is_public, stored_at FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?'),
    totalBytes: db.prepare('SELECT COALESCE(SUM(size), 0) FROM blobs'),
    addBlob: db.prepare(`
      INSERT INTO blobs (digest, size, is_public, stored_at, used_at) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (digest) DO UPDATE SET
        size = excluded.size, stored_at = excluded.stored_at, used_at = MAX(used_at, excluded.used_at),
        is_public = MAX(is_public, excluded.is_public)`),
    removeBlob: db.prepare('DELETE FROM blobs WHERE digest = ?'),
    touch: db.prepare('UPDATE blobs SET used_at = MAX(used_at, ?) WHERE digest = ?'),
    publish: db.prepare('UPDATE blobs SET is_public = 1 WHERE digest = ?'),

    manifest: db.prepare(`
      SELECT digest, size, is_public, stored_at, media_type FROM manifests JOIN blobs USING (digest) WHERE digest = ?`),
    addManifest: db.prepare(`
      INSERT OR IGNORE INTO manifests (digest, media_type) VALUES (?, ?)`),
    addChild: db.prepare(`
      INSERT OR REPLACE INTO children (parent, child, kind, size, platform) VALUES (?, ?, ?, ?, ?)`),
    statedSize: db.prepare(`
      SELECT size FROM children JOIN links ON links.digest = children.parent
      WHERE child = ? AND registry = ? AND repository = ? LIMIT 1`),

    link: db.prepare('SELECT 1 FROM links WHERE registry = ? AND repository = ? AND digest = ?'),
    addLink: db.prepare('INSERT OR IGNORE INTO links (registry, repository, digest) VALUES (?, ?, ?)'),

    tag: db.prepare('SELECT digest, fallback, checked_at FROM tags WHERE registry = ? AND repository = ? AND tag = ?'),
    setTag: db.prepare(`
      INSERT OR REPLACE INTO tags (registry, repository, tag, digest, fallback, checked_at) VALUES (?, ?, ?, ?, ?, ?)`),
    dropFallback: db.prepare('UPDATE tags SET fallback = NULL WHERE registry = ? AND repository = ? AND tag = ?'),
    removeTag: db.prepare('DELETE FROM tags WHERE registry = ? AND repository = ? AND tag = ?'),
    tags: db.prepare(`
      SELECT tag FROM tags JOIN manifests USING (digest)
      WHERE registry = ? AND repository = ? AND tag > ? ORDER BY tag LIMIT ?`),

    completePlatforms: db.prepare(`
      SELECT @anyPlatform WHERE ${isWhole('@digest')}
        AND EXISTS (SELECT 1 FROM children WHERE parent = @digest)
        AND NOT EXISTS (SELECT 1 FROM children WHERE parent = @digest AND kind = 'manifest')
      UNION
      SELECT COALESCE(entry.platform, entry.child) FROM children entry
      WHERE entry.parent = @digest AND entry.kind = 'manifest' AND ${isWhole('entry.child')}
        AND COALESCE(entry.platform, '') NOT LIKE 'unknown/%'`),

    visibility: db.prepare('SELECT is_public, checked_at FROM repositories WHERE registry = ? AND repository = ?'),
    setVisibility: db.prepare(`
      INSERT OR REPLACE INTO repositories (registry, repository, is_public, checked_at) VALUES (?, ?, ?, ?)`),
    repositories: db.prepare(`
      SELECT DISTINCT text FROM (
        SELECT registry, is_public,
          CASE WHEN registry = @defaultRegistry THEN repository ELSE registry || '/' || repository END AS text
        FROM links JOIN manifests USING (digest) LEFT JOIN repositories USING (registry, repository)
      ) WHERE text > @after AND (
        (is_public = 1 AND registry IN (SELECT value FROM json_each(@registries)))
        OR registry IN (SELECT value FROM json_each(@listPrivate)))
      ORDER BY text LIMIT @limit`),

    takeCleanMark: db.prepare("DELETE FROM facts WHERE name = 'stopped cleanly'"),
    setCleanMark: db.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES ('stopped cleanly', 'yes')"),
  };
}
