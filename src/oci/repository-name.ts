import { fail, ok, type Result } from './result.ts';

/** A repository's name within its registry, such as `library/alpine`. Only {@link parseRepositoryName} makes one. */
export type RepositoryName = string & { readonly __brand: 'RepositoryName' };

/** Docker's and containerd's own bound on a name, registry included. */
const maxNameLength = 255;

// distribution-spec "Pulling manifests"; the length is looked at first, so the pattern never sees a long text.
const grammar = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

export function parseRepositoryName(text: string): Result<RepositoryName, { readonly reason: string }> {
  if (text.length > maxNameLength) return fail({ reason: `a repository name has at most ${maxNameLength} characters` });
  if (!grammar.test(text)) {
    return fail({
      reason:
        'a repository name is made of lower-case letters, digits and single separators (. _ __ -) in segments divided by /',
    });
  }
  return ok(text as RepositoryName);
}

/** The canonical name of a repository: what access, links, catalog, logs and metrics speak of. */
export interface Repository {
  /** As it stands in an image reference: `docker.io`, `ghcr.io`, `registry.lan:5000`; {@link hosted} for this server's own. */
  readonly registry: string;
  readonly name: RepositoryName;
}

/** Stands for the registry of what is hosted here: its names have none in front. */
export const hosted = '';

export function hostedRepository(name: RepositoryName): Repository {
  return { registry: hosted, name };
}

export function isHosted({ registry }: Repository): boolean {
  return registry === hosted;
}

export function repositoryText({ registry, name }: Repository): string {
  return registry === hosted ? name : `${registry}/${name}`;
}
