import { fail, ok, type Result } from '../oci/result.ts';

/**
 * Where a registry answers, as `scheme://host[:port][/prefix]` without a slash at the end. The reason of a refusal stands
 * behind "must be a URL".
 */
export function parseEndpoint(text: string): Result<string, { readonly reason: string }> {
  if (!/^https?:\/\/\S+$/.test(text) || !URL.canParse(text)) {
    return fail({ reason: 'that starts with https:// (or http:// for a registry without TLS) and a host name' });
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return fail({ reason: 'without credentials: the settings username and passwordFile are for them' });
  }
  if (/[?#]/.test(text)) return fail({ reason: 'without query and fragment' });
  const path = url.pathname.replace(/\/+$/, '');
  if (/\/v2$/.test(path)) return fail({ reason: 'that ends before /v2, which is added to it' });
  return ok(url.origin + path);
}
