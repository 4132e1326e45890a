/** The named bounds of notifications. Tests shorten some. */
export const defaultLimits = {
  /** Of one endpoint's files. May be exceeded by some events for a while, see `Queue.append()`. */
  maxQueueBytes: 64 * 1024 * 1024,
  /** A full file is closed and the next one begun. Dropping the pulls of one, in one tick, takes less than 10 ms. */
  segmentBytes: 256 * 1024,
  /** Of texts that clients choose; longer ones are cut. */
  maxTextLength: 1_000,
  maxEventsPerRequest: 100,
  /** Common receivers refuse bodies of more than 100 kB. One event may be larger all the same. */
  maxRequestBytes: 64 * 1024,
  /** What could not be delivered for so long is given up. */
  maxAgeMs: 3 * 24 * 3_600_000,
  connectTimeoutMs: 5_000,
  /** From the start of a request to the headers of its answer. */
  answerTimeoutMs: 15_000,
  /** Of an answer's body, which says nothing to us: reading it lets the connection be used again. */
  maxAnswerBytes: 64 * 1024,
  maxAnswerMs: 1_000,
  keepAliveMs: 10_000,
  /** After the first failure; doubled with each further one. */
  backoffMs: 1_000,
  maxBackoffMs: 5 * 60_000,
} as const;

export type Limits = { readonly [name in keyof typeof defaultLimits]: number };
