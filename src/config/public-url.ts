import { fail, ok, type Result } from '../oci/result.ts';

/** `scheme://host[:port]`, without a slash at the end. The reason of a refusal stands behind "must be". */
export function parsePublicUrl(text: string): Result<string, { readonly reason: string }> {
  if (!/^https?:\/\/[^\s/]/.test(text) || !URL.canParse(text)) {
    return fail({ reason: 'a URL that starts with https:// or http:// and a host name' });
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return fail({ reason: 'a URL without credentials' });
  // Engines mirror from the root of a host, and image references have no room for more.
  if (url.pathname !== '/' || /[?#]/.test(text)) return fail({ reason: 'a URL that ends with the host or its port' });
  return ok(url.origin);
}
