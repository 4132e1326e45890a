import { fail, ok, type Result } from '../oci/result.ts';
import { limits } from './limits.ts';

/** What a client says of itself. Nothing in it is true yet. */
export type Authorization =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly user: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string };

/** An `Authorization` header; fails for what is neither Basic nor Bearer. */
export function parseAuthorization(header: string | undefined): Result<Authorization, 'garbage'> {
  if (header === undefined || header.trim() === '') return ok({ kind: 'none' });
  if (header.length > limits.maxAuthorizationCharacters) return fail('garbage');
  const [, scheme = '', value = ''] = /^ *([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*) *$/.exec(header) ?? [];
  switch (scheme.toLowerCase()) {
    case 'basic':
      return parseBasic(value);
    case 'bearer':
      return ok({ kind: 'bearer', token: value });
    default:
      return fail('garbage');
  }
}

/** RFC 7617: a user name has no colon, a password may. */
function parseBasic(value: string): Result<Authorization, 'garbage'> {
  const pair = Buffer.from(value, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) return fail('garbage');
  return ok({ kind: 'basic', user: pair.slice(0, colon), password: pair.slice(colon + 1) });
}
