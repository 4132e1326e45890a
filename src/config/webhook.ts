import { fail, ok, type Result } from '../oci/result.ts';

/** The reason of a refusal stands behind "must be a URL" and quotes nothing: what is refused may hold a password. */
export function parseWebhookUrl(text: string): Result<string, { readonly reason: string }> {
  if (!/^https?:\/\/\S+$/.test(text) || !URL.canParse(text)) {
    return fail({ reason: 'that starts with https:// or http:// and a host name' });
  }
  const url = new URL(text);
  if (text.includes('#')) return fail({ reason: 'without fragment' });
  if (!isDecodable(url.username) || !isDecodable(url.password)) {
    return fail({ reason: 'in whose credentials a % is written as %25' });
  }
  return ok(url.href);
}

/** What two of them have in common that tell the same receiver. */
export function withoutCredentials(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url.href;
}

/** For people to read: credentials and query may be secret. */
export function redactedWebhookUrl(text: string): string {
  const { username, password, origin, pathname, search, protocol, host } = new URL(text);
  const at = username === '' && password === '' ? origin : `${protocol}//(hidden)@${host}`;
  return `${at}${pathname}${search === '' ? '' : '?(hidden)'}`;
}

function isDecodable(text: string): boolean {
  try {
    return decodeURIComponent(text).length >= 0;
  } catch {
    return false;
  }
}
