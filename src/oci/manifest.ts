import { z } from 'zod';
import { type Digest, parseDigest } from './digest.ts';
import { isArtifactType, isImageType, isIndexType } from './media-type.ts';
import { fail, ok, type Result } from './result.ts';

/** The spec's floor for a manifest's size, and the ceiling of every client we know (containerd: 4 MiB). */
export const maxManifestBytes = 4 * 1024 * 1024;

/** What a manifest needs from below it to be complete. */
export interface Child {
  readonly digest: Digest;
  readonly size: number;
  readonly kind: 'manifest' | 'blob';
  /** `os/architecture[/variant]` of an index's entry, where the index says it. */
  readonly platform?: string;
}

const digestField = z.string().transform((text, context): Digest => {
  const digest = parseDigest(text);
  if (digest.ok) return digest.value;
  context.addIssue(digest.failure.reason);
  return z.NEVER;
});

const descriptor = z.object({
  digest: digestField,
  size: z.int().nonnegative(),
  urls: z.array(z.string()).nullish(),
  mediaType: z.string().nullish(),
});

const platformField = z.object({ os: z.string(), architecture: z.string(), variant: z.string().nullish() });

const index = z.object({ manifests: listOf(descriptor.extend({ platform: platformField.nullish() })).nullish() });
const image = z.object({ config: descriptor, layers: listOf(descriptor).nullish() });
const artifact = z.object({ blobs: listOf(descriptor).nullish() });

/** Stops at the first entry that is wrong: a hostile manifest has room for millions of them, each with a complaint of its own. */
function listOf<T>(entry: z.ZodType<T>) {
  return z.array(z.unknown()).transform((entries, context): T[] => {
    const list: T[] = [];
    for (const [position, item] of entries.entries()) {
      const parsed = entry.safeParse(item);
      if (!parsed.success) {
        for (const issue of parsed.error.issues) context.addIssue({ ...issue, path: [position, ...issue.path] });
        return z.NEVER;
      }
      list.push(parsed.data);
    }
    return list;
  });
}

/**
 * The type of a manifest: what it says of itself where that is one we know, else what it came with. So the type belongs to
 * the digest, and no registry can give the same bytes another one for everybody else.
 */
export function mediaTypeOf(bytes: Uint8Array, header: string): string {
  const stated = z.object({ mediaType: z.string() }).safeParse(parseJson(bytes));
  return stated.success && isKnownType(stated.data.mediaType) ? stated.data.mediaType : header;
}

export function isKnownType(mediaType: string): boolean {
  return isIndexType(mediaType) || isImageType(mediaType) || isArtifactType(mediaType);
}

/** Why a manifest that somebody pushes is none of this type, if it is none: more than is asked of one that an upstream has. */
export function flawOf(bytes: Uint8Array, mediaType: string): string | undefined {
  if (!isIndexType(mediaType) && !isImageType(mediaType)) return undefined;
  const shape = isIndexType(mediaType) ? pushedIndex : pushedImage;
  const parsed = shape.safeParse(parseJson(bytes));
  return parsed.success ? undefined : notValid(parsed.error);
}

const pushedImage = z.looseObject({ schemaVersion: z.literal(2), layers: z.array(z.unknown()) });
const pushedIndex = z.looseObject({ schemaVersion: z.literal(2), manifests: z.array(z.unknown()) });

/** In one line. */
function notValid({ issues }: z.ZodError): string {
  const problems = issues
    .slice(0, maxProblems)
    .map(({ path, message }) => `${z.core.toDotPath(path) || 'it'}: ${message}`);
  return `the manifest is not valid: ${problems.join('; ')}`;
}

const maxProblems = 3;

/** What the manifest says of its own type, undefined where it says nothing; a failure for what is no JSON object. */
export function statedTypeOf(bytes: Uint8Array): Result<string | undefined, { readonly reason: string }> {
  const json = z.looseObject({ mediaType: z.string().optional() }).safeParse(parseJson(bytes));
  return json.success
    ? ok(json.data.mediaType)
    : fail({ reason: 'the manifest is no JSON object, or its mediaType no text' });
}

/** What a manifest says of itself to those who look for what refers to something. */
export interface Kinship {
  /** What it is about. A relation only: the subject may be missing. */
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const kinship = z.object({
  subject: z.object({ digest: digestField }).nullish(),
  artifactType: z.string().nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
  config: z.object({ mediaType: z.string().nullish() }).nullish(),
});

/** distribution-spec "Listing Referrers": where a manifest names no artifact type it is its config's, and an index has none. */
export function kinshipOf(bytes: Uint8Array, mediaType: string): Result<Kinship, { readonly reason: string }> {
  const parsed = kinship.safeParse(parseJson(bytes));
  if (!parsed.success) return fail({ reason: notValid(parsed.error) });
  const { subject, artifactType, annotations, config } = parsed.data;
  const ofConfig = isIndexType(mediaType) ? undefined : config?.mediaType;
  return ok({
    subject: subject?.digest,
    artifactType: (artifactType || ofConfig) ?? undefined,
    annotations: annotations ?? undefined,
  });
}

/** Undefined for what is no JSON. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/**
 * The children of a manifest of one of the known types, each digest once; none for an unknown type, which is passed on
 * by its digest and never looked into. Layers with `urls` lie elsewhere (Windows base layers, image-spec "Non-distributable
 * layers") and are no part of completeness; `subject` names a relation, not content.
 */
export function childrenOf(
  bytes: Uint8Array,
  mediaType: string,
): Result<readonly Child[], { readonly reason: string }> {
  if (!isKnownType(mediaType)) return ok([]);
  const json = parseJson(bytes);
  if (json === undefined) return fail({ reason: 'the manifest is not JSON' });
  const children = readChildren(json, mediaType);
  if (!children.success) return fail({ reason: notValid(children.error) });
  return ok([...new Map(children.data.map((child) => [child.digest, child])).values()]);
}

function readChildren(json: unknown, mediaType: string): z.ZodSafeParseResult<Child[]> {
  if (isIndexType(mediaType)) {
    return index
      .transform(({ manifests }) =>
        (manifests ?? []).map((entry): Child => {
          const platform = platformText(entry.platform);
          return {
            digest: entry.digest,
            size: entry.size,
            kind: 'manifest',
            ...(platform === undefined ? {} : { platform }),
          };
        }),
      )
      .safeParse(json);
  }
  if (isImageType(mediaType)) {
    return image.transform(({ config, layers }) => blobsOf([config, ...(layers ?? [])])).safeParse(json);
  }
  return artifact.transform(({ blobs }) => blobsOf(blobs ?? [])).safeParse(json);
}

function blobsOf(descriptors: readonly z.output<typeof descriptor>[]): Child[] {
  return descriptors
    .filter(({ urls }) => (urls ?? []).length === 0)
    .map(({ digest, size }): Child => ({ digest, size, kind: 'blob' }));
}

function platformText(platform: z.output<typeof platformField> | null | undefined): string | undefined {
  if (platform === null || platform === undefined) return undefined;
  return [platform.os, platform.architecture, platform.variant].filter((part) => part).join('/');
}

/** An entry of an index as it describes itself. */
export interface ListedManifest {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const listed = z.object({
  manifests: listOf(
    descriptor.extend({
      mediaType: z.string(),
      artifactType: z.string().nullish(),
      annotations: z.record(z.string(), z.string()).nullish(),
    }),
  ),
});

/** What an index lists; nothing for what is no index, or none that can be read. */
export function listedIn(bytes: Uint8Array, mediaType: string): readonly ListedManifest[] {
  const parsed = isIndexType(mediaType) ? listed.safeParse(parseJson(bytes)) : undefined;
  return (parsed?.data?.manifests ?? []).map(({ digest, size, mediaType, artifactType, annotations }) => ({
    digest,
    size,
    mediaType,
    artifactType: artifactType ?? undefined,
    annotations: annotations ?? undefined,
  }));
}
