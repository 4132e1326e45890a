import { fail, ok, type Result } from '../oci/result.ts';

/** What somebody looks for: lower case, no spaces around it. Only {@link parseSearchTerm} makes one. */
export type SearchTerm = string & { readonly __brand: 'SearchTerm' };

/** No repository has a longer name. */
const maxTermLength = 255;

/** Empty for everything. */
export function parseSearchTerm(text: string): Result<SearchTerm, { readonly reason: string }> {
  if (text.length > maxTermLength) return fail({ reason: `a search term has at most ${maxTermLength} characters` });
  // Unicode category C: control, formatting, unassigned, and halves of characters.
  if (/\p{C}/u.test(text)) return fail({ reason: 'a search term has no control characters' });
  return ok(text.trim().toLowerCase() as SearchTerm);
}
