import { type Repository, repositoryText } from '../oci/repository-name.ts';
import type { Failure, UpstreamFailure } from './failure.ts';
import type { Wanted } from './vouch.ts';

/** The upstream's failure as that of what was asked, in words that name it and say what to do (promise 9). */
export function explain(failure: UpstreamFailure, repository: Repository, wanted: Wanted): Failure {
  const { registry } = repository;
  const what = nameOf(repository, wanted);
  switch (failure.kind) {
    case 'not-found':
      return { kind: unknownKinds[wanted.kind], reason: `${what} is not there: ${failure.reason}` };
    case 'denied': {
      const hint = `if it needs an account, configure one under upstreams["${registry}"]`;
      return { kind: 'denied', reason: `${registry} denies access to ${what}: ${failure.reason}; ${hint}` };
    }
    case 'rate-limited':
      return { ...failure, reason: `${what} is not cached, and ${registry} limits our requests: ${failure.reason}` };
    case 'unavailable':
      return { ...failure, reason: `${what} is not cached, and ${registry} cannot be asked: ${failure.reason}` };
    case 'wrong-answer':
      return { ...failure, reason: `${what} is not cached, and what ${registry} answers is wrong: ${failure.reason}` };
  }
}

const unknownKinds = { manifest: 'manifest-unknown', blob: 'blob-unknown', tags: 'name-unknown' } as const;

function nameOf(repository: Repository, wanted: Wanted): string {
  const name = repositoryText(repository);
  switch (wanted.kind) {
    case 'blob':
      return `${name}@${wanted.digest}`;
    case 'manifest':
      return wanted.reference.kind === 'tag' ? `${name}:${wanted.reference.tag}` : `${name}@${wanted.reference.digest}`;
    case 'tags':
      return `the list of tags of ${name}`;
  }
}
