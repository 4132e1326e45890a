/**
 * Settings that are planned and have no effect yet. They are refused: a configuration that asks for TLS must not run
 * without. An entry leaves this list for schema.ts together with its effect.
 */
const unsupported = [
  'listen.tls',
  'listen.publicUrl',
  'listen.trustedProxies',
  'listen.clientCa',
  'upstreams.*.allow',
  'upstreams.*.deny',
  'upstreams.*.search',
  'access.htpasswd',
  'access.admins',
  'access.rules',
  'notifications',
].map((path) => path.split('.'));

/** Supported is only `false`, so the key itself is known. */
const anonymousPush = ['access', 'anonymous', 'push'];

/** Their paths, in a configuration with these upstreams. */
export function unsupportedPaths(upstreamNames: readonly string[]): readonly (readonly string[])[] {
  return unsupported.flatMap((path) =>
    path.includes('*') ? upstreamNames.map((name) => path.map((key) => (key === '*' ? name : key))) : [path],
  );
}

/** Takes the unsupported settings out of the document and gives their paths. */
export function removeUnsupported(document: unknown, upstreamNames: readonly string[]): readonly (readonly string[])[] {
  const found = unsupportedPaths(upstreamNames).filter((path) => remove(document, path, () => true));
  const wantsPush = remove(document, anonymousPush, (value) => value === true);
  return wantsPush ? [...found, anonymousPush] : found;
}

function remove(value: unknown, path: readonly string[], isMeant: (value: unknown) => boolean): boolean {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return false;
  const child: unknown = Reflect.get(value, key);
  if (rest.length > 0) return remove(child, rest, isMeant);
  return isMeant(child) && Reflect.deleteProperty(value, key);
}
