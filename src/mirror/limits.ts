/** The pull path's bounds. Headers leave, or a clear error does, within 10 s (promise 2). */
export const limits = {
  /** What all the waits for upstreams of one request may take together. */
  patienceMs: 9_500,
  /** The wait for an upstream's headers where nothing else can be served. */
  askDeadlineMs: 8_000,
  /** The same where a cached copy stands ready. */
  revalidateDeadlineMs: 4_000,
  /** The wait for a whole manifest or tags list. */
  documentDeadlineMs: 9_000,
  /** How long an answer to "may everybody have this repository?" is believed. */
  visibilityTtlMs: 24 * 60 * 60 * 1000,
  /** Repositories hosted or cached here that one search finds; more are left out. */
  maxLocalHits: 1_000,
  /** Repositories that a search looks at before others have their turn: some milliseconds of SQLite. */
  repositoriesPerLook: 500,
  /** How long an upstream's hits for a term are given again. */
  searchTtlMs: 5 * 60_000,
  /** Terms whose hits are held in memory, each with up to a hundred of them (about 40 kB). */
  maxSearches: 200,
  /** How long an upstream whose search gave nothing is not asked again, if it does not say longer. */
  searchPauseMs: 30_000,
  maxSearchesUnderWay: 8,
  /** Manifests held in memory, by the bytes of their bodies. */
  hotManifestBytes: 64 * 1024 * 1024,
  /** How long a blob that did not fit, which only its fill could tell, is passed through without another try. */
  noRoomMs: 60_000,
  /** The same for one that had no room before it was begun: what others have reserved may be free soon. */
  noRoomNowMs: 3_000,
  /** Blobs so remembered. */
  maxNoRoom: 1_000,
  /** What a reader throws away at once to get to its range, when its flight has no room any more. */
  skippedPieceBytes: 256 * 1024,
  /** Waits before a broken fill asks again, each jittered; progress starts the list anew. */
  resumeBackoffMs: [250, 500, 1_000, 2_000, 4_000, 8_000],
  /** A bounded range up to this size may be asked for beside a flight that is far behind it. */
  maxAsideRangeBytes: 8 * 1024 * 1024,
  /** How long such a range waits before it looks how fast the flight is, and between two looks. */
  asidePatienceMs: 2_000,
  /** It goes on waiting for a flight that will be there within this time. */
  asideWorthwhileMs: 10_000,
  /** How many such ranges may be under way beside one flight. */
  maxAsideRangesPerFlight: 8,
} as const;
