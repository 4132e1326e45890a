import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseReference, type Tag } from '../../src/oci/reference.ts';
import { parseRepositoryName, type Repository } from '../../src/oci/repository-name.ts';

/** The digest of a text: a name for content that no test looks into. */
export function digestNamed(text: string): Digest {
  return digestOf(Buffer.from(text));
}

export function tagNamed(text: string): Tag {
  const parsed = parseReference(text);
  if (!parsed.ok || parsed.value.kind !== 'tag') throw new Error(`${text} is no tag`);
  return parsed.value.tag;
}

/** From `registry/name/of/it`. */
export function repositoryNamed(text: string): Repository {
  const slash = text.indexOf('/');
  const name = parseRepositoryName(text.slice(slash + 1));
  if (!name.ok) throw new Error(`${text}: ${name.failure.reason}`);
  return { registry: text.slice(0, slash), name: name.value };
}
