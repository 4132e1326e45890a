/**
 * The kinds of value that settings have. Messages are predicates, since they stand behind the path of the setting: "must be
 * …" says what is allowed, and whoever reports it adds what was there instead.
 */
import { z } from 'zod';
import { parsePrincipal } from '../access/rules.ts';
import { parseAddressRange } from '../oci/address-range.ts';
import { parseImagePattern } from '../oci/image-pattern.ts';
import { parseCanonicalPattern, parsePattern, parseTagName, parseTagPattern } from '../oci/repository-pattern.ts';
import type { Result } from '../oci/result.ts';
import { parseEndpoint } from './endpoint.ts';
import { quoted } from './problem.ts';
import { parsePublicUrl } from './public-url.ts';
import { durationSyntax, parseDuration, parseSize, sizeSyntax } from './units.ts';
import { parseWebhookUrl } from './webhook.ts';

export function mustBe(allowed: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: ({ input }) => (input === undefined ? `is missing; it must be ${allowed}` : `must be ${allowed}`) };
}

/** An unknown key in it is an error. */
export function object<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, mustBe('an object'));
}

export function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, mustBe(`one of ${words.map((word) => JSON.stringify(word)).join(', ')}`));
}

export function integer(min: number, max: number) {
  const allowed = mustBe(`an integer from ${min} to ${max}`);
  return z.int(allowed).min(min, allowed).max(max, allowed);
}

export const text = z.string(mustBe('a text')).min(1, mustBe('a text that is not empty'));

export const flag = z.boolean(mustBe('true or false'));

const aSize = mustBe('a size such as "50GiB" or a number of bytes (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)');

/** In bytes. */
export const size = z
  .union([z.string().regex(sizeSyntax, aSize), z.int(aSize).min(0, aSize)], aSize)
  .transform((value, context) => (typeof value === 'number' ? value : parseInto('a size', parseSize)(value, context)));

const aDuration = mustBe('a duration such as "5m" (units: ms, s, m, h, d)');

/** In milliseconds. */
export const duration = z
  .string(aDuration)
  .regex(durationSyntax, aDuration)
  .transform(parseInto('a duration', parseDuration));

/** What is refused is not quoted back: it may hold a password. */
export const url = z.string(mustBe('a URL')).transform((text, context) => {
  const parsed = parseEndpoint(text);
  return parsed.ok ? parsed.value : refuse(context, `must be a URL ${parsed.failure.reason}`);
});

/** Not quoted back either. */
export const webhookUrl = z.string(mustBe('a URL')).transform((text, context) => {
  const parsed = parseWebhookUrl(text);
  return parsed.ok ? parsed.value : refuse(context, `must be a URL ${parsed.failure.reason}`);
});

export const publicUrl = z.string(mustBe('a URL')).transform((text, context) => {
  const parsed = parsePublicUrl(text);
  return parsed.ok ? parsed.value : refuse(context, `must be ${parsed.failure.reason}`);
});

export const addressRange = z
  .string(mustBe('an address or a network'))
  .transform(parseInto('an address or a network', parseAddressRange));

export const pattern = z.string(mustBe('a pattern')).transform(parseInto('a pattern', parsePattern));

/** Of canonical names: `docker.io/library/x`. */
export const canonicalPattern = z.string(mustBe('a pattern')).transform(parseInto('a pattern', parseCanonicalPattern));

export const principal = z
  .string(mustBe('a user name, "anonymous" or "net:10.0.0.0/8"'))
  .transform(parseInto('a user name, "anonymous" or "net:10.0.0.0/8"', parsePrincipal));

export const tagName = z.string(mustBe('a tag pattern')).transform(parseInto('a tag pattern', parseTagName));

export const tagPattern = z.string(mustBe('a pattern')).transform(parseInto('a pattern', parseTagPattern));

export const imagePattern = z.string(mustBe('a pattern')).transform(parseInto('a pattern', parseImagePattern));

function parseInto<T>(what: string, parse: (text: string) => Result<T, { readonly reason: string }>) {
  return (text: string, context: z.RefinementCtx): T => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    return refuse(context, `must be ${what}, not ${quoted(text)}: ${parsed.failure.reason}`);
  };
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}
