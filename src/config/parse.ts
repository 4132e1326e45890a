import type { z } from 'zod';
import { fail, ok, type Result } from '../oci/result.ts';
import { configJsonSchema, nodeAt, settingPaths } from './json-schema.ts';
import { didYouMean } from './nearest.ts';
import { type Finding, pathText, quoted } from './problem.ts';
import { type Settings, settingsSchema } from './schema.ts';
import { removeUnsupported } from './unsupported.ts';

/** Settings whose value is never quoted in a message: they can hold a password, if only by mistake. */
const unquoted: ReadonlySet<PropertyKey> = new Set(['password', 'passwordEnv', 'endpoints', 'notifications']);

/** The settings of a document, or everything that is wrong with it. */
export function parseSettings(
  document: unknown,
  upstreamNames: readonly string[],
): Result<Settings, readonly Finding[]> {
  const supported: unknown = structuredClone(document);
  const unsupported = removeUnsupported(supported, upstreamNames).map(
    (path): Finding => ({ path, message: 'is not supported yet' }),
  );
  const parsed = settingsSchema.safeParse(supported);
  if (parsed.success && unsupported.length === 0) return ok(parsed.data);
  const invalid = parsed.success ? [] : parsed.error.issues.flatMap((issue) => findings(issue, supported));
  return fail([...unsupported, ...invalid]);
}

function findings(issue: z.core.$ZodIssue, document: unknown, base: readonly PropertyKey[] = []): readonly Finding[] {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], message: `is not a known setting${hint(path, key)}` }));
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message }));
    case 'invalid_union': {
      // The alternative that the author had in mind is the one whose outermost type is right.
      const meant = issue.errors.find((issues) => issues.every((inner) => inner.path.length > 0));
      if (meant) return meant.flatMap((inner) => findings(inner, document, path));
      return [{ path, message: issue.message + instead(path, document) }];
    }
    case 'custom':
      return [{ path, message: issue.message }];
    default:
      return [{ path, message: issue.message + instead(path, document) }];
  }
}

function hint(path: readonly PropertyKey[], key: string): string {
  const schema = configJsonSchema();
  const siblings = didYouMean(key, Object.keys(nodeAt(schema, path)?.properties ?? {}));
  if (siblings !== '') return siblings;
  const elsewhere = settingPaths(schema, []).filter((other) => other.at(-1)?.toLowerCase() === key.toLowerCase());
  return elsewhere.length === 1 ? `; did you mean ${pathText(elsewhere[0] ?? [])}?` : '';
}

function instead(path: readonly PropertyKey[], document: unknown): string {
  const value = valueAt(document, path);
  if (value === undefined || path.some((key) => unquoted.has(key))) return '';
  if (value === null) return ', not null';
  if (Array.isArray(value)) return ', not a list';
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return `, not ${quoted(value)}`;
  return ', not an object';
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return valueAt(Reflect.get(value, key), rest);
}
