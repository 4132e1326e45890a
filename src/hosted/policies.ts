import type { Tag } from '../oci/reference.ts';
import type { RepositoryName } from '../oci/repository-name.ts';
import type { RepositoryPattern } from '../oci/repository-pattern.ts';

/** What an operator wants of the tags of some repositories. */
export interface Policy {
  readonly repositories: readonly RepositoryPattern[];
  /** Tags that may not be moved once they are there. */
  readonly isImmutable: (tag: Tag) => boolean;
  readonly retention: Retention | undefined;
}

export interface Retention {
  /** So many of the tags pushed last stay. */
  readonly keepLast: number;
  /** And these, however old they are. */
  readonly isKept: (tag: Tag) => boolean;
}

/** The policies in force; the first that matches a repository decides. */
export class Policies {
  #policies: readonly Policy[];

  constructor(policies: readonly Policy[]) {
    this.#policies = policies;
  }

  replace(policies: readonly Policy[]): void {
    this.#policies = policies;
  }

  #of(name: RepositoryName): Policy | undefined {
    return this.#policies.find(({ repositories }) => repositories.some((pattern) => pattern.matches(name)));
  }

  isImmutable(name: RepositoryName, tag: Tag): boolean {
    return this.#of(name)?.isImmutable(tag) === true;
  }

  retentionOf(name: RepositoryName): Retention | undefined {
    return this.#of(name)?.retention;
  }
}
