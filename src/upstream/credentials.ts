export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export function basicAuthorization({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/**
 * Whether an account configured for an endpoint may be shown to the token endpoint it names. A realm is what the other side
 * says it is: followed blindly, it sends passwords wherever an upstream wants them (CVE-2026-33540). So the host has to
 * be the endpoint's own; Docker Hub alone is known to have its token endpoint elsewhere.
 */
export function mayReceiveCredentials(realm: URL, endpoint: URL, registry: string): boolean {
  if (endpoint.protocol === 'https:' && realm.protocol !== 'https:') return false;
  if (realm.hostname === endpoint.hostname) return true;
  return registry === 'docker.io' && realm.protocol === 'https:' && realm.host === 'auth.docker.io';
}

/** Undefined where no request can be sent there. */
export function parseRealm(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  if (!isHttp || url.username !== '' || url.password !== '') return undefined;
  url.hash = '';
  return url;
}
