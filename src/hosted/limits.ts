/** The push path's bounds. */
export const limits = {
  /** An upload that gets no byte for so long is over. */
  uploadIdleMs: 24 * 60 * 60 * 1000,
  /** Tags that one manifest may be pushed with at once (distribution-spec: at least 10). */
  maxTagsPerPush: 100,
  /** Entries on a page of referrers. */
  referrersPage: 500,
  /** And characters of their JSON, but for a single entry that is longer. */
  referrersPageBytes: 4 * 1024 * 1024,
  /** Entries read at once, each with at most a manifest's annotations. */
  referrersAtOnce: 16,
  /** Repositories looked at for one that is proved to hold a blob. */
  maxProofs: 1_000,
  /** Rows looked at together by garbage collection. */
  collectedAtOnce: 200,
  /** Read at once to be hashed. */
  hashPieceBytes: 1024 * 1024,
} as const;
