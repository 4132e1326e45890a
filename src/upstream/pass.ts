import { LRUCache } from 'lru-cache';
import type { UpstreamFailure } from '../mirror/failure.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Logger } from '../ops/logger.ts';
import { waitWithin } from './bound.ts';
import type { Challenge } from './challenge.ts';
import { basicAuthorization, type Credentials, mayReceiveCredentials, parseRealm } from './credentials.ts';
import { type RegistryRequest, urlText } from './exchange.ts';
import type { Limits } from './limits.ts';
import type { Tokens, TokenWish } from './tokens.ts';

export interface PassDeskOptions {
  readonly registry: string;
  readonly endpoint: URL;
  readonly credentials: Credentials | undefined;
  readonly tokens: Tokens;
  readonly log: Logger;
  readonly limits: Limits;
}

/** What a request is sent with. */
export interface Pass {
  readonly challenge: Challenge;
  readonly authorization: string;
  readonly withCredentials: boolean;
  /** Set for a token that was issued before this request: a refusal may only mean that it is too old. */
  readonly agedToken: string | undefined;
}

/** Where one endpoint's challenges are answered, and where it is decided who gets to see the configured account. */
export class PassDesk {
  readonly #options: PassDeskOptions;
  readonly #warned = new LRUCache<string, true>({ max: 100 });

  constructor(options: PassDeskOptions) {
    this.#options = options;
  }

  canAnswer(challenge: Challenge, request: RegistryRequest): boolean {
    return challenge.scheme === 'bearer' || this.#accountOf(request) !== undefined;
  }

  /** A token that was `refused` is not issued again. */
  async issue(
    challenge: Challenge,
    request: RegistryRequest,
    refused?: string,
  ): Promise<Result<Pass, UpstreamFailure>> {
    const account = this.#accountOf(request);
    if (challenge.scheme === 'basic') {
      if (account === undefined) throw new Error('a Basic challenge needs an account: see canAnswer');
      return ok({
        challenge,
        authorization: basicAuthorization(account),
        withCredentials: true,
        agedToken: undefined,
      });
    }
    const wish = this.#wish(challenge, request, account);
    if (!wish.ok) return wish;
    const token = await waitWithin(this.#options.tokens.get(wish.value, refused), request.bound);
    if (token === undefined) return fail(notInTime(wish.value.realm));
    if (!token.ok) return token;
    const { text, isFresh } = token.value;
    return ok({
      challenge,
      authorization: `Bearer ${text}`,
      withCredentials: wish.value.account !== undefined,
      agedToken: isFresh ? undefined : text,
    });
  }

  #accountOf({ anonymously }: RegistryRequest): Credentials | undefined {
    return anonymously ? undefined : this.#options.credentials;
  }

  #wish(
    { realm: text, service, scope: demanded }: Challenge & { scheme: 'bearer' },
    { name }: RegistryRequest,
    account: Credentials | undefined,
  ): Result<TokenWish, UpstreamFailure> {
    const { endpoint, registry } = this.#options;
    const realm = parseRealm(text);
    if (realm === undefined) {
      return fail({
        kind: 'wrong-answer',
        reason: `${endpoint.origin} names a token endpoint that is not an http URL`,
      });
    }
    const pullOnly = `repository:${name}:pull`;
    const scope = demanded ?? pullOnly;
    if (account === undefined) return ok({ realm, service, scope, account });
    if (!mayReceiveCredentials(realm, endpoint, registry)) {
      this.#warnOnce(realm);
      return ok({ realm, service, scope, account: undefined });
    }
    // Another host issues it in the account's name: whoever runs the endpoint does not get to choose what for.
    return ok({ realm, service, scope: realm.hostname === endpoint.hostname ? scope : pullOnly, account });
  }

  #warnOnce(realm: URL): void {
    const { endpoint, registry, log } = this.#options;
    const text = urlText(realm);
    if (this.#warned.has(text)) return;
    this.#warned.set(text, true);
    log.warn(
      { registry, endpoint: urlText(endpoint), realm: text },
      'the registry names a token endpoint on another host: the configured account is withheld',
    );
  }
}

function notInTime(realm: URL): UpstreamFailure {
  const reason = `the token endpoint ${urlText(realm)} did not answer in time`;
  return { kind: 'unavailable', reason, retryAfterSeconds: 1 };
}
