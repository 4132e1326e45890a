import { type Repository, repositoryText } from '../oci/repository-name.ts';
import type { Failure, UpstreamFailure } from './failure.ts';
import type { Wanted } from './vouch.ts';

/**
 * The upstream's failure as that of what was asked, in words that name it and say what to do (promise 9). What was asked for by its
 * digest may be stored here for others, and is then asked for in another way: that must not show in the words.
 */
export function explain(failure: UpstreamFailure, repository: Repository, wanted: Wanted): Failure {
  const { registry } = repository;
  const what = nameOf(repository, wanted);
  switch (failure.kind) {
    case 'not-found':
      return {
        kind: unknownKinds[wanted.kind],
        reason: `${what} is not there: ${isByDigest(wanted) ? `${registry} does not have it` : failure.reason}`,
      };
    case 'denied':
      return denial(repository, wanted, isByDigest(wanted) ? undefined : failure.reason);
    case 'rate-limited':
      return { ...failure, reason: `${what} is not cached, and ${registry} limits our requests: ${failure.reason}` };
    case 'unavailable':
      return { ...failure, reason: `${what} is not cached, and ${registry} cannot be asked: ${failure.reason}` };
    case 'wrong-answer':
      return { ...failure, reason: `${what} is not cached, and what ${registry} answers is wrong: ${failure.reason}` };
  }
}

/** @param detail what the upstream says of it */
export function denial(repository: Repository, wanted: Wanted, detail?: string): Failure {
  const { registry } = repository;
  const hint = `if it needs an account, configure one under upstreams["${registry}"]`;
  const said = detail === undefined ? '' : `: ${detail}`;
  return { kind: 'denied', reason: `${registry} denies access to ${nameOf(repository, wanted)}${said}; ${hint}` };
}

function isByDigest(wanted: Wanted): boolean {
  return wanted.kind === 'blob' || (wanted.kind === 'manifest' && wanted.reference.kind === 'digest');
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
