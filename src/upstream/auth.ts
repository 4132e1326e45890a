import { LRUCache } from 'lru-cache';
import type { UpstreamFailure } from '../mirror/failure.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Logger } from '../ops/logger.ts';
import { waitWithin } from './bound.ts';
import { type Challenge, chooseChallenge, isSameChallenge } from './challenge.ts';
import { basicAuthorization, type Credentials, mayReceiveCredentials, parseRealm } from './credentials.ts';
import { type Answer, type Exchange, type RegistryRequest, urlText } from './exchange.ts';
import type { Limits } from './limits.ts';
import type { Tokens, TokenWish } from './tokens.ts';

interface AuthOptions {
  readonly registry: string;
  readonly endpoint: URL;
  readonly credentials: Credentials | undefined;
  readonly tokens: Tokens;
  readonly log: Logger;
  readonly limits: Limits;
}

/** What a request is sent with. */
interface Pass {
  readonly challenge: Challenge;
  readonly authorization: string;
  readonly withCredentials: boolean;
  /** Set for a token that was issued before this request: a refusal may only mean that it is too old. */
  readonly agedToken: string | undefined;
}

/** Without a pass, with the token at hand, with a fresh one. */
const maxTries = 3;
/** ECR answers 400 to an expired token (aws/containers-roadmap#2835). */
const refusesAgedTokens: ReadonlySet<number> = new Set([400, 401, 403]);

/** Answers challenges, and remembers them, so that the next request for the repository brings its token along. */
export function auth(options: AuthOptions): (next: Exchange) => Exchange<RegistryRequest> {
  const desk = new PassDesk(options);
  const challenges = new LRUCache<string, Challenge>({ max: options.limits.maxChallenges });
  return (next) => async (request) => {
    const remembered = challenges.get(request.name);
    let pass = await desk.issue(remembered, request);
    for (let tries = 1; ; tries++) {
      if (!pass.ok) return pass;
      const outcome = await next(withPass(request, pass.value));
      if (!outcome.ok) return outcome;
      const challenge = tries < maxTries ? nextChallenge(outcome.value, pass.value) : undefined;
      const better = challenge && (await desk.issue(challenge, request, pass.value?.agedToken));
      if (challenge === undefined || better === undefined || (better.ok && better.value === undefined)) {
        return settle(outcome.value, pass.value, options);
      }
      challenges.set(request.name, challenge);
      await outcome.value.body.discard({
        bytes: options.limits.maxErrorBodyBytes,
        milliseconds: options.limits.errorBodyMs,
      });
      pass = better;
    }
  };
}

/** The challenge that is worth answering after this answer. */
function nextChallenge(answer: Answer, pass: Pass | undefined): Challenge | undefined {
  if (pass?.agedToken !== undefined && refusesAgedTokens.has(answer.status)) {
    return chooseChallenge(answer.headers('www-authenticate')) ?? pass.challenge;
  }
  if (answer.status !== 401) return undefined;
  const challenge = chooseChallenge(answer.headers('www-authenticate'));
  const isAnswered = pass !== undefined && challenge !== undefined && isSameChallenge(pass.challenge, challenge);
  return isAnswered ? undefined : challenge;
}

function withPass(request: RegistryRequest, pass: Pass | undefined): RegistryRequest {
  if (pass === undefined) return request;
  return { ...request, headers: { ...request.headers, authorization: pass.authorization } };
}

function settle(
  answer: Answer,
  pass: Pass | undefined,
  { endpoint, limits }: AuthOptions,
): Result<Answer, UpstreamFailure> {
  if (answer.status === 401 && pass?.challenge.scheme === 'basic') {
    answer.body.destroy();
    const reason = `${endpoint.origin} refused the configured account (401)`;
    return fail({ kind: 'unavailable', reason, retryAfterSeconds: limits.unavailableSeconds });
  }
  return ok({ ...answer, withCredentials: pass?.withCredentials ?? false });
}

class PassDesk {
  readonly #options: AuthOptions;
  readonly #warned = new LRUCache<string, true>({ max: 100 });

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  /** Undefined where there is nothing to show: no challenge, or one for an account when we have none. */
  async issue(
    challenge: Challenge | undefined,
    request: RegistryRequest,
    refused?: string,
  ): Promise<Result<Pass | undefined, UpstreamFailure>> {
    if (challenge === undefined) return ok(undefined);
    const account = request.anonymously ? undefined : this.#options.credentials;
    if (challenge.scheme === 'basic') {
      if (account === undefined) return ok(undefined);
      const authorization = basicAuthorization(account);
      return ok({ challenge, authorization, withCredentials: true, agedToken: undefined });
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

  #wish(
    challenge: Challenge & { scheme: 'bearer' },
    { name }: RegistryRequest,
    account: Credentials | undefined,
  ): Result<TokenWish, UpstreamFailure> {
    const { endpoint, registry } = this.#options;
    const { service } = challenge;
    const realm = parseRealm(challenge.realm);
    if (realm === undefined) {
      return fail({
        kind: 'wrong-answer',
        reason: `${endpoint.origin} names a token endpoint that is not an http URL`,
      });
    }
    const pullOnly = `repository:${name}:pull`;
    const scope = challenge.scope ?? pullOnly;
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
