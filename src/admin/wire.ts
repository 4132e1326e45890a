/** What goes over the socket, in both directions. Lists and jobs are answered line by line, each line one JSON value. */
import { z } from 'zod';
import { parseDigest } from '../oci/digest.ts';
import type { Collected, ImageListing, Pin, Progress, Recovery, Status, Verified } from './operations.ts';

export const apiPrefix = '/api/v1';
export const linesType = 'application/x-ndjson';

/** Of a request's body; the longest has one pattern in it. */
export const maxRequestBytes = 64 * 1024;
/** While a job has nothing to say, an empty line tells that it is alive, at least so often. */
export const signOfLifeMs = 5_000;

export const pinRequest = z.strictObject({ pattern: z.string() });
export const collectRequest = z.strictObject({ dryRun: z.boolean() });
export const verifyRequest = z.strictObject({ repair: z.boolean() });

/** Of every answer that is not 200; `error` is one sentence. */
export const errorAnswer = z.object({ error: z.string() });

const digest = z.string().transform((text, context) => {
  const parsed = parseDigest(text);
  if (parsed.ok) return parsed.value;
  context.addIssue({ code: 'custom', message: parsed.failure.reason });
  return z.NEVER;
});

const count = z.int().min(0);

const recovery = z.object({
  at: z.string(),
  reason: z.string(),
  setAside: z.string().nullable(),
  recovered: z.object({ blobs: count, manifests: count, tags: count }),
  lost: z.array(z.string()),
}) satisfies z.ZodType<Recovery>;

export const statusAnswer = z.object({
  version: z.string(),
  url: z.string(),
  startedAt: z.string(),
  cache: z.object({ bytes: count, limit: count, blobs: count, pinnedBytes: count }),
  hosted: z.object({ bytes: count, blobs: count }),
  disk: z.object({ freeBytes: count, minFree: count }),
  fillsInFlight: count,
  reconciled: z.boolean(),
  recovery: recovery.nullable(),
}) satisfies z.ZodType<Status>;

export const imageLine = z.object({
  repository: z.string(),
  hosted: z.boolean(),
  tag: z.string().nullable(),
  digest,
  mediaType: z.string(),
  bytes: count,
  complete: z.boolean(),
  platforms: z.array(z.string()),
  usedAt: z.string(),
  pinned: z.boolean(),
}) satisfies z.ZodType<ImageListing>;

export const pinsAnswer = z.array(
  z.object({ pattern: z.string(), from: z.enum(['configuration', 'command']) }),
) satisfies z.ZodType<readonly Pin[]>;

const garbageKind = z.enum(['blob', 'partial', 'quarantined', 'hosted blob', 'hosted tag', 'hosted manifest']);

export const collectedResult = z.object({
  dryRun: z.boolean(),
  removed: z.array(z.object({ kind: garbageKind, digest, bytes: count, name: z.string().optional() })),
  bytes: count,
}) satisfies z.ZodType<Collected>;

export const verifiedResult = z.object({
  blobs: count,
  bytes: count,
  damaged: z.array(
    z.object({
      digest,
      bytes: count,
      reason: z.enum(['wrong-content', 'wrong-size', 'missing', 'unreadable', 'set-aside']),
      images: z.array(z.string()),
      repaired: z.boolean(),
      hosted: z.boolean(),
    }),
  ),
}) satisfies z.ZodType<Verified>;

const progress = z.object({
  done: z.number(),
  total: z.number(),
  unit: z.enum(['bytes', 'blobs']),
}) satisfies z.ZodType<Progress>;

/** Any number of the first, then one of the others; `refused` and `failed` are one sentence each. */
export const jobLine = z.union([
  z.object({ progress }),
  z.object({ result: z.unknown() }),
  z.object({ refused: z.string() }),
  z.object({ failed: z.string() }),
]);

export type JobLine = z.output<typeof jobLine>;
