import { z } from 'zod';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { parseReference, type Tag } from '../oci/reference.ts';
import { parseRepositoryName, type RepositoryName } from '../oci/repository-name.ts';

/**
 * What the ledger says of one thing at one time. The last fact about a thing is what is true of it, so that facts may be
 * missing before it, and may be told twice.
 */
export type Fact = z.output<typeof fact>;

export type BlobFact = Extract<Fact, { is: 'blob' }>;
export type TagFact = Extract<Fact, { is: 'tag' }>;

/** Names of registries are host names with a port. */
const maxRegistryLength = 512;

const digest = parsedText((text): Digest | undefined => {
  const parsed = parseDigest(text);
  return parsed.ok ? parsed.value : undefined;
});
const tag = parsedText((text): Tag | undefined => {
  const parsed = parseReference(text);
  return parsed.ok && parsed.value.kind === 'tag' ? parsed.value.tag : undefined;
});
const name = parsedText((text): RepositoryName | undefined => {
  const parsed = parseRepositoryName(text);
  return parsed.ok ? parsed.value : undefined;
});
/** The registry of what is hosted is empty. */
const repository = z.object({ registry: z.string().max(maxRegistryLength), name });
const time = z.int();

const fact = z.discriminatedUnion('is', [
  z.object({
    is: z.literal('blob'),
    digest,
    size: z.int().nonnegative(),
    public: z.boolean(),
    hosted: z.boolean().default(false),
    storedAt: time,
    /** Of a manifest. */
    mediaType: z.string().optional(),
  }),
  /** Its bytes are gone. Links and tags stay. */
  z.object({ is: z.literal('forgotten'), digest }),
  /** It has made room, and its links and tags with it. */
  z.object({ is: z.literal('evicted'), digest }),
  /** Public: the upstream gave it to a request without credentials. What is not said is not so. */
  z.object({ is: z.literal('link'), repository, digest, public: z.boolean().default(false) }),
  z.object({ is: z.literal('no link'), repository, digest }),
  z.object({ is: z.literal('tag'), repository, tag, digest, fallback: digest.optional(), checkedAt: time }),
  z.object({ is: z.literal('no tag'), repository, tag }),
  z.object({ is: z.literal('visibility'), repository, public: z.boolean(), checkedAt: time }),
  z.object({ is: z.literal('pin'), pattern: z.string().min(1), at: time }),
  z.object({ is: z.literal('no pin'), pattern: z.string().min(1) }),
]);

function parsedText<T>(parse: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue('not valid');
    return z.NEVER;
  });
}

/** Undefined for what is no fact, or none that this version knows. */
export function parseFact(line: string): Fact | undefined {
  try {
    return fact.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Lines, each ended. */
export function factLines(facts: readonly Fact[]): string {
  return facts.map((fact) => `${JSON.stringify(fact)}\n`).join('');
}
