import { type Digest, parseDigest } from './digest.ts';
import { fail, ok, type Result } from './result.ts';

/** Only {@link parseReference} makes one. */
export type Tag = string & { readonly __brand: 'Tag' };

/** What stands behind `/manifests/`. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest };

export interface BadReference {
  readonly what: 'tag' | 'digest';
  readonly reason: string;
}

const tagGrammar = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function parseReference(text: string): Result<Reference, BadReference> {
  if (text.includes(':')) {
    const digest = parseDigest(text);
    if (!digest.ok) return fail({ what: 'digest', reason: digest.failure.reason });
    return ok({ kind: 'digest', digest: digest.value });
  }
  if (!tagGrammar.test(text)) {
    return fail({ what: 'tag', reason: 'a tag has 1 to 128 letters, digits, _ . - and starts with none of . -' });
  }
  return ok({ kind: 'tag', tag: text as Tag });
}
