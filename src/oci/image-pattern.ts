import { isHosted, type Repository } from './repository-name.ts';
import { type BadPattern, parseTagPattern } from './repository-pattern.ts';
import { ok, type Result } from './result.ts';

/** Names images as an operator writes them. Only {@link parseImagePattern} makes one. */
export interface ImagePattern {
  readonly text: string;
  /** `defaultRegistry` is the one of names that have no registry in them. Without a tag, only patterns without one match. */
  matches(repository: Repository, tag: string | undefined, defaultRegistry: string | undefined): boolean;
}

/** As clients tell a registry from the first part of a name. */
const registrySyntax = /^(?:localhost|.*[.:].*)$/;

/**
 * `[registry/]repository[:tag]`, with `*` within a segment or tag and `**` for any number of segments. Docker Hub's official
 * images go by `alpine` and by `library/alpine`.
 */
export function parseImagePattern(text: string): Result<ImagePattern, BadPattern> {
  const slash = text.indexOf('/');
  const first = text.slice(0, Math.max(0, slash));
  const registry = registrySyntax.test(first) ? first : undefined;
  const pattern = parseTagPattern(registry === undefined ? text : text.slice(slash + 1));
  if (!pattern.ok) return pattern;
  return ok({
    text,
    matches: (repository, tag, defaultRegistry) => {
      // What is hosted has no registry in its name, and goes by nothing else.
      const isMeant = isHosted(repository)
        ? registry === undefined
        : repository.registry === (registry ?? defaultRegistry);
      if (!isMeant) return false;
      const names = [repository.name, repository.name.replace(/^library\/(?=[^/]+$)/, '')];
      return names.some((name) => pattern.value.matches(name, tag ?? ''));
    },
  });
}
