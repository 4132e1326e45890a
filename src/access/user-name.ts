import { fail, ok, type Result } from '../oci/result.ts';

/** Somebody with a line in the htpasswd file. Only {@link parseUserName} makes one. */
export type UserName = string & { readonly __brand: 'UserName' };

/** Apache's own bound. */
const maxUserNameCharacters = 255;

/** A name that can stand in an htpasswd file, in a `Basic` header and in a rule, and means nothing else there. */
export function parseUserName(text: string): Result<UserName, { readonly reason: string }> {
  if (text === '') return fail({ reason: 'a user name is not empty' });
  if (text.length > maxUserNameCharacters) {
    return fail({ reason: `a user name has at most ${maxUserNameCharacters} characters` });
  }
  if (text === 'anonymous') return fail({ reason: '"anonymous" means everyone in rules' });
  if (text.startsWith('net:')) return fail({ reason: '"net:" names a client network in rules' });
  if (text.includes(':')) return fail({ reason: 'a user name has no colon' });
  if (text.startsWith('#') || text.trim() !== text || /\p{Cc}/u.test(text)) {
    return fail({ reason: 'a user name has no # in front, no space around it and no control characters' });
  }
  return ok(text as UserName);
}
