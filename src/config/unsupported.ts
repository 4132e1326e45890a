/**
 * Settings that are planned and have no effect yet. They are refused: a configuration that asks for access rules must
 * not run without. An entry leaves this list for schema.ts together with its effect.
 */
const unsupported = ['upstreams.*.allow', 'upstreams.*.deny', 'access.admins'].map((path) => path.split('.'));

/** Their paths, in a configuration with these upstreams. */
export function unsupportedPaths(upstreamNames: readonly string[]): readonly (readonly string[])[] {
  return unsupported.flatMap((path) =>
    path.includes('*') ? upstreamNames.map((name) => path.map((key) => (key === '*' ? name : key))) : [path],
  );
}

/** Takes the unsupported settings out of the document and gives their paths. */
export function removeUnsupported(document: unknown, upstreamNames: readonly string[]): readonly (readonly string[])[] {
  return unsupportedPaths(upstreamNames).filter((path) => remove(document, path));
}

function remove(value: unknown, path: readonly string[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false;
  if (rest.length > 0) return remove(Reflect.get(value, key), rest);
  return Reflect.deleteProperty(value, key);
}
