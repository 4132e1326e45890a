import type { AccessControl } from '../access/access-control.ts';
import { actingOn } from '../access/acting-on.ts';
import { anonymous, type Identity } from '../access/identity.ts';
import type { Action, Asker } from '../mirror/asker.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import type { BadRequest } from './failure.ts';

/** What of {@link AccessControl} a visitor is judged by. */
export type Judge = Pick<AccessControl, 'hasUsers' | 'may' | 'isAnonymous'>;

interface Arrival {
  readonly identity: Identity;
  readonly address: string;
}

/** Who has sent a request, and what that lets it do. */
export class Visitor {
  readonly #judge: Judge;
  readonly #arrival: Arrival;

  constructor(judge: Judge, arrival: Arrival) {
    this.#judge = judge;
    this.#arrival = arrival;
  }

  /** Undefined for one that nobody knows. */
  get user(): string | undefined {
    const { identity } = this.#arrival;
    return identity.kind === 'user' ? identity.name : undefined;
  }

  /** What the list of all repositories shows: what this one could pull, if his token was asked for the list. */
  mayList(repository: Repository): boolean {
    return this.#judge.may(this.#listing, this.#arrival.address, 'pull', repository);
  }

  /** Whether that includes what upstreams give only to users. A machine token may be bound to some repositories. */
  get listsForUsers(): boolean {
    return this.#listing.kind === 'user' && this.#listing.machine === undefined;
  }

  get listsAnonymously(): boolean {
    return this.#listing.kind === 'anonymous';
  }

  get #listing(): Identity {
    return actingOn(this.#arrival.identity, 'catalog');
  }

  /**
   * Undefined when this may be done, and `asker` is then told for whom. A bearer token is good for what was asked for with it.
   *
   * @param name of the repository, as it stands in the path
   */
  refused(action: Action, repository: Repository, name: string, asker: Asker): BadRequest | undefined {
    const { identity, address } = this.#arrival;
    const acting = actingOn(identity, { name, action });
    if (!this.#judge.may(acting, address, action, repository)) return this.#refusal(acting, action, repository, name);
    // No token is asked for in the name of a repository that a blob could be mounted from: whoever is known here is known there.
    const elsewhere = acting.kind === 'anonymous' ? anonymous : identity;
    const actingIn = (where: Repository, what: Action) =>
      isSame(where, repository) ? actingOn(identity, { name, action: what }) : elsewhere;
    asker.actFor({
      isAnonymous: (where) => this.#judge.isAnonymous(actingIn(where, 'pull'), where),
      may: (what, where) => this.#judge.may(actingIn(where, what), address, what, where),
    });
    return undefined;
  }

  /** To one who may see nothing without being known. */
  listRefusal(): BadRequest {
    if (this.#judge.hasUsers)
      return { kind: 'unauthorized', reason: 'log in to list repositories', scope: catalogScope };
    return noAnonymousPull;
  }

  #refusal(acting: Identity, action: Action, repository: Repository, name: string): BadRequest {
    const text = repositoryText(repository);
    // To somebody who is known, what he may not have is not there.
    if (acting.kind === 'user') return { kind: 'name-unknown', reason: `there is no ${text} that you may ${action}` };
    if (this.#judge.hasUsers) {
      return { kind: 'unauthorized', reason: `log in to ${action} ${text}`, scope: scopeOf(name, action) };
    }
    if (action === 'pull') return noAnonymousPull;
    return {
      kind: 'access-denied',
      reason: `anonymous clients may not ${action}: add a user with "entrepot user add NAME" and log in, or set access.anonymous.push`,
    };
  }
}

const catalogScope = 'registry:catalog:*';

const noAnonymousPull: BadRequest = {
  kind: 'access-denied',
  reason:
    'anonymous clients may not pull this (access.rules or access.anonymous.pull): add a user with "entrepot user add NAME" and log in',
};

function isSame(one: Repository, other: Repository): boolean {
  return one.registry === other.registry && one.name === other.name;
}

/** Engines ask for a token with the scope of the challenge, and for a push they need both. */
function scopeOf(name: string, action: Action): string {
  return `repository:${name}:${action === 'pull' ? 'pull' : `pull,${action}`}`;
}
