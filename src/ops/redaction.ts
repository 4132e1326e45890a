import { stdSerializers } from 'pino';

export const hidden = '(hidden)';

const secretName =
  /^(?:(?:proxy-)?authorization|(?:set-)?cookie|passw(?:or)?d|secret|credentials|auth|(?:access|refresh|identity)?[-_]?token)$/i;

/** Nothing logged on purpose lies deeper, and what lies there by accident is better not logged. */
const maxDepth = 6;

/**
 * The fields of a log line without the values of those whose name says that they are secret, however deep and however
 * written. (pino's own `redact` wants every path spelled out, and so many of them cost more than the whole rest of a line.)
 */
export function withoutSecrets(fields: Record<string, unknown>): Record<string, unknown> {
  return copyObject(fields, maxDepth);
}

function copyObject(fields: object, depth: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, secretName.test(name) ? hidden : copy(value, depth - 1)]),
  );
}

function copy(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '(not shown)';
  if (Array.isArray(value)) return value.map((item) => copy(item, depth - 1));
  // Errors of HTTP clients carry the headers of request and response with them.
  if (value instanceof Error) return copyObject(stdSerializers.err(value), depth);
  return isPlain(value) ? copyObject(value, depth) : value;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
