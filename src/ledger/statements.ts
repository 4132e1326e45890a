import type Database from 'better-sqlite3';

/** The SQL of the port, prepared once per open file. */
export type Statements = ReturnType<typeof prepare>;

// Of a table with digest and kind. A manifest whose bytes are known only as a blob's cannot be served as one.
const isMissing = (table: string) => `
  (NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = ${table}.digest)
    OR ${table}.kind = 'manifest' AND NOT EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = ${table}.digest))`;

// A manifest is whole when everything below it is stored. What an index lists is judged per entry.
const isWhole = (manifest: string) => `
  EXISTS (SELECT 1 FROM manifests WHERE digest = ${manifest})
  AND NOT EXISTS (
    WITH RECURSIVE parts (digest, kind) AS (
      SELECT child, kind FROM children WHERE parent = ${manifest}
      UNION SELECT child, c.kind FROM children c JOIN parts ON c.parent = parts.digest
    )
    SELECT 1 FROM parts WHERE ${isMissing('parts')}
  )`;

// As long as its tag's own digest is there to go first. One that may not go either, because it is part of this or is a fallback
// too, keeps nothing: two that wait for each other would stay for ever.
const isFallback = (digest: string) => `
  EXISTS (
    SELECT 1 FROM tags JOIN blobs tagged ON tagged.digest = tags.digest
    WHERE tags.fallback = ${digest}
    AND NOT EXISTS (SELECT 1 FROM tags other WHERE other.fallback = tags.digest)
    AND ${digest} NOT IN (
      WITH RECURSIVE up (digest) AS (
        SELECT tagged.digest UNION SELECT parent FROM children JOIN up ON child = up.digest
      )
      SELECT digest FROM up)
  )`;

const isUntagged = `
  NOT EXISTS (
    SELECT 1 FROM tags t
    WHERE t.digest = links.digest AND t.registry = links.registry AND t.repository = links.repository
  )`;

/** Everything at and below the digests of the JSON array @digests. */
const below = `
  down (digest, kind) AS (
    SELECT value, 'blob' FROM json_each(@digests)
    UNION SELECT child, children.kind FROM children JOIN down ON parent = down.digest
  )`;

export function prepare(db: Pick<Database.Database, 'prepare'>) {
  return {
    blob: db.prepare('SELECT digest, size, is_public, is_hosted, stored_at FROM blobs WHERE digest = ?'),
    blobs: db.prepare(
      'SELECT digest, size, is_public, is_hosted, stored_at FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?',
    ),
    totals: db.prepare('SELECT blobs, bytes, hosted_blobs AS hostedBlobs, hosted_bytes AS hostedBytes FROM totals'),
    addBlob: db.prepare(`
      INSERT INTO blobs (digest, size, is_public, stored_at, used_at) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (digest) DO UPDATE SET
        size = excluded.size, stored_at = excluded.stored_at, used_at = MAX(used_at, excluded.used_at),
        is_public = MAX(is_public, excluded.is_public)`),
    removeBlob: db.prepare('DELETE FROM blobs WHERE digest = ?'),
    forget: db.prepare(`
      DELETE FROM blobs WHERE digest = @digest
      AND stored_at = COALESCE(@storedAt, stored_at) AND is_hosted = COALESCE(@isHosted, is_hosted)`),
    touch: db.prepare(`
      WITH RECURSIVE up (digest) AS (
        SELECT @digest
        UNION SELECT parent FROM children JOIN up ON child = up.digest WHERE kind = 'manifest'
      )
      UPDATE blobs SET used_at = @at WHERE used_at < @at AND digest IN up`),

    leastUsed: db.prepare(`
      SELECT digest, size, used_at, EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = blobs.digest) AS is_manifest
      FROM blobs WHERE parents = 0 AND is_hosted = 0 AND (used_at, digest) > (@usedAt, @digest) AND NOT ${isFallback('blobs.digest')}
      ORDER BY used_at, digest LIMIT @limit`),
    evictable: db.prepare(`
      SELECT digest, size, EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = blobs.digest) AS is_manifest
      FROM blobs WHERE digest = ? AND parents = 0 AND is_hosted = 0 AND NOT ${isFallback('blobs.digest')}`),
    childrenOf: db.prepare("SELECT child FROM children WHERE parent = ? AND kind = 'blob'"),
    fallBack: db.prepare(`
      UPDATE tags SET digest = fallback, fallback = NULL, checked_at = 0
      WHERE digest = ? AND fallback IN (SELECT digest FROM manifests)`),
    usedWithTag: db.prepare(`
      UPDATE blobs SET used_at = MAX(used_at, (SELECT used_at FROM blobs WHERE digest = @digest))
      WHERE digest IN (SELECT fallback FROM tags WHERE digest = @digest)`),
    dropTagsOf: db.prepare('DELETE FROM tags WHERE digest = ?'),
    dropFallbacksTo: db.prepare('UPDATE tags SET fallback = NULL WHERE fallback = ?'),
    dropLinksOf: db.prepare('DELETE FROM links WHERE digest = ?'),

    reposOf: db.prepare('SELECT registry, repository FROM links WHERE digest = ?'),
    tagsOf: db.prepare('SELECT registry, repository, tag FROM tags WHERE digest = ?'),
    namesAbove: db.prepare(`
      WITH RECURSIVE up (digest) AS (SELECT @digest UNION SELECT parent FROM children JOIN up ON child = up.digest)
      SELECT registry, repository, tag, digest, checked_at
      FROM up CROSS JOIN manifests USING (digest) CROSS JOIN tags USING (digest)
      UNION ALL
      SELECT registry, repository, NULL, digest, NULL
      FROM up CROSS JOIN manifests USING (digest) CROSS JOIN blobs USING (digest) CROSS JOIN links USING (digest)
      WHERE parents = 0 AND ${isUntagged}
      LIMIT @limit`),
    // Links are many, and of those without a tag only the ones up to the last with a tag can be on the page.
    imageNames: db.prepare(`
      WITH tagged AS MATERIALIZED (
        SELECT registry, repository, tag, digest, checked_at FROM tags JOIN manifests USING (digest)
        WHERE (registry, repository, tag, digest) > (@registry, @repository, @tag, @digest)
        ORDER BY registry, repository, tag LIMIT @limit
      )
      SELECT * FROM tagged
      UNION ALL
      SELECT * FROM (
        SELECT registry, repository, '', digest, NULL FROM links CROSS JOIN blobs USING (digest)
        WHERE (registry, repository, digest) > (@registry, @repository, CASE @tag WHEN '' THEN @digest ELSE '~' END)
        AND (registry, repository) <= (
          SELECT registry, repository FROM (SELECT registry, repository FROM tagged LIMIT 1 OFFSET @limit - 1)
          UNION ALL SELECT '~', '~' LIMIT 1
        )
        AND EXISTS (SELECT 1 FROM manifests WHERE manifests.digest = links.digest) AND parents = 0 AND ${isUntagged}
        ORDER BY registry, repository, digest LIMIT @limit
      )
      ORDER BY registry, repository, tag, digest LIMIT @limit`),
    image: db.prepare('SELECT media_type, used_at FROM manifests JOIN blobs USING (digest) WHERE digest = ?'),
    missingBelow: db.prepare(`
      WITH RECURSIVE ${below}
      SELECT 1 FROM down WHERE ${isMissing('down')} LIMIT 1`),
    bytesBelow: db.prepare(`
      WITH RECURSIVE ${below} SELECT COALESCE(SUM(size), 0) FROM blobs WHERE digest IN (SELECT digest FROM down)`),

    contentOf: db.prepare(`
      WITH RECURSIVE ${below}
      SELECT digest, size FROM blobs WHERE is_hosted = 0 AND digest IN (SELECT digest FROM down)`),

    pins: db.prepare('SELECT pattern FROM pins ORDER BY pattern'),
    addPin: db.prepare('INSERT OR IGNORE INTO pins (pattern, pinned_at) VALUES (?, ?)'),
    removePin: db.prepare('DELETE FROM pins WHERE pattern = ?'),

    publish: db.prepare('UPDATE blobs SET is_public = 1 WHERE digest = ?'),

    manifest: db.prepare(`
      SELECT digest, size, is_public, is_hosted, stored_at, media_type FROM manifests JOIN blobs USING (digest) WHERE digest = ?`),
    addManifest: db.prepare(`
      INSERT OR IGNORE INTO manifests (digest, media_type) VALUES (?, ?)`),
    addChild: db.prepare(`
      INSERT OR IGNORE INTO children (parent, child, kind, size, platform) VALUES (?, ?, ?, ?, ?)`),
    statedSize: db.prepare(`
      SELECT size FROM children JOIN links ON links.digest = children.parent
      WHERE child = ? AND registry = ? AND repository = ? LIMIT 1`),

    link: db.prepare('SELECT 1 FROM links WHERE registry = ? AND repository = ? AND digest = ?'),
    addLink: db.prepare(`
      INSERT INTO links (registry, repository, digest, is_public) VALUES (?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET is_public = 1 WHERE is_public < excluded.is_public`),
    isVouchedPublic: db.prepare('SELECT 1 FROM links WHERE digest = ? AND is_public = 1'),

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
        SELECT registry, repositories.is_public AS is_public,
          CASE WHEN registry IN ('', @defaultRegistry) THEN repository ELSE registry || '/' || repository END AS text
        FROM links JOIN manifests USING (digest) LEFT JOIN repositories USING (registry, repository)
      ) WHERE text > @after AND (
        (is_public = 1 AND registry IN (SELECT value FROM json_each(@registries)))
        OR registry = '' OR registry IN (SELECT value FROM json_each(@listPrivate)))
      ORDER BY text LIMIT @limit`),
    // From name to name along the primary key: a repository has many links, and all but the first are skipped.
    searchRepositories: db.prepare(`
      WITH RECURSIVE names (repository, looked) AS (
        SELECT (SELECT repository FROM links WHERE registry = @registry AND repository > @after ORDER BY repository LIMIT 1), 1
        UNION ALL
        SELECT (
          SELECT links.repository FROM links
          WHERE registry = @registry AND links.repository > names.repository ORDER BY links.repository LIMIT 1
        ), looked + 1
        FROM names WHERE names.repository IS NOT NULL AND looked < @look
      ), judged AS (
        SELECT repository, looked = @look AS is_last,
          instr(@prefix || repository, @holds) > 0 OR instr(@heldBy, repository) > 0 AS is_match
        FROM names WHERE repository IS NOT NULL
      )
      SELECT repository, is_last, is_match,
        is_match AND EXISTS (
          SELECT 1 FROM links CROSS JOIN manifests USING (digest)
          WHERE links.registry = @registry AND links.repository = judged.repository
        ) AS is_stored,
        is_match AND EXISTS (
          SELECT 1 FROM repositories
          WHERE registry = @registry AND repositories.repository = judged.repository AND is_public = 1
        ) AS is_public
      FROM judged WHERE is_match OR is_last ORDER BY repository`),

    takeCleanMark: db.prepare("DELETE FROM facts WHERE name = 'stopped cleanly'"),
    setCleanMark: db.prepare("INSERT OR REPLACE INTO facts (name, value) VALUES ('stopped cleanly', 'yes')"),
  };
}
