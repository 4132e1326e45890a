import { createHash } from 'node:crypto';
import type { RegistryAction } from '../oci/registry-event.ts';

/** Who is told what, as configured. */
export interface Endpoint {
  /** http or https. User name and password in it are sent as Basic credentials. */
  readonly url: string;
  readonly events: readonly RegistryAction[];
  /** Values may be secret. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Of the directory with its queue: it stays the same when the password changes. */
export function queueName({ url }: Endpoint): string {
  return createHash('sha256').update(withoutCredentials(url).href).digest('hex').slice(0, 32);
}

/** All that a log may show: the path and the query of a webhook can be its secret. */
export function originOf({ url }: Endpoint): string {
  return new URL(url).origin;
}

export function withoutCredentials(url: string): URL {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return bare;
}

/** Undefined where the URL has none. */
export function basicCredentials({ url }: Endpoint): string | undefined {
  const { username, password } = new URL(url);
  if (username === '' && password === '') return undefined;
  const plain = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(plain).toString('base64')}`;
}
