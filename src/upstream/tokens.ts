import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Clock } from '../mirror/ports.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Bounds } from './bound.ts';
import { basicAuthorization, type Credentials } from './credentials.ts';
import { type Answer, type Exchange, type Trouble, urlText } from './exchange.ts';
import { isWithin, type Limits } from './limits.ts';
import { colon, messageOf } from './message.ts';

/** What a token is asked for with. */
export interface TokenWish {
  readonly realm: URL;
  readonly service: string | undefined;
  /** One or several, separated by spaces. */
  readonly scope: string;
  readonly account: Credentials | undefined;
}

export interface Token {
  readonly text: string;
  /** Before it was asked for, so that it never seems younger than it is. */
  readonly askedAt: number;
  readonly usableMs: number;
}

interface Entry {
  readonly token: Promise<Result<Token, UpstreamFailure>>;
  isPending: boolean;
}

interface TokensOptions {
  readonly exchangeFor: (origin: string) => Exchange;
  readonly bounds: Bounds;
  readonly clock: Clock;
  readonly limits: Limits;
}

/** `expires_in` is optional and then means a minute (distribution, docs/content/spec/auth/token.md). */
const defaultLifetimeSeconds = 60;
const maxLifetimeSeconds = 24 * 3_600;
/** A token is renewed in the last part of its life, so that it does not end on the way. */
const usablePart = 0.9;

const tokenBody = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.unknown().optional(),
});

/** Tokens in use, one for all who ask for the same. */
export class Tokens {
  readonly #options: TokensOptions;
  readonly #entries: LRUCache<string, Entry>;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#entries = new LRUCache({ max: options.limits.maxTokens });
  }

  /** `isFresh` tells whether it was issued while we waited. A token that a registry has just `refused` is not given again. */
  async get(wish: TokenWish, refused?: string): Promise<Result<Token & { isFresh: boolean }, UpstreamFailure>> {
    const key = JSON.stringify([wish.account?.username, wish.realm.href, wish.service, wish.scope]);
    const known = this.#entries.get(key);
    const entry = known ?? this.#fetch(key, wish);
    const isFresh = entry.isPending;
    const token = await entry.token;
    if (!token.ok) return token;
    const { text, askedAt, usableMs } = token.value;
    const isUsable = text !== refused && isWithin(this.#options.clock.now(), askedAt, usableMs);
    if (entry !== known || isUsable) return ok({ ...token.value, isFresh });
    if (this.#entries.peek(key) === entry) this.#entries.delete(key);
    return this.get(wish, refused);
  }

  /** A failure is everyone's who waited for it, and forgotten then. */
  #fetch(key: string, wish: TokenWish): Entry {
    const token = this.#ask(wish).then((outcome) => {
      entry.isPending = false;
      if (!outcome.ok && this.#entries.peek(key) === entry) this.#entries.delete(key);
      return outcome;
    });
    const entry: Entry = { token, isPending: true };
    this.#entries.set(key, entry);
    return entry;
  }

  async #ask(wish: TokenWish): Promise<Result<Token, UpstreamFailure>> {
    const { bounds, clock, exchangeFor, limits } = this.#options;
    using bound = bounds.start({ milliseconds: limits.tokenTimeoutMs });
    const url = urlOf(wish);
    const askedAt = clock.now();
    const headers = wish.account === undefined ? {} : { authorization: basicAuthorization(wish.account) };
    const answer = await exchangeFor(url.origin)({ kind: 'token', method: 'GET', url, headers, bound });
    if (!answer.ok) {
      const { failure } = answer;
      if (failure.kind === 'rate-limited') return fail(failure);
      return unavailable(`the token endpoint ${urlText(url)}: ${failure.reason}`, secondsOf(failure) ?? 1);
    }
    const { status } = answer.value;
    if (status < 200 || status > 299) return await refusal(answer.value, wish, limits);
    const token = await readToken(answer.value, askedAt, limits);
    if (token !== undefined) return ok(token);
    return unavailable(`the token endpoint ${urlText(url)} answered without a usable token`, limits.unavailableSeconds);
  }
}

function urlOf({ realm, service, scope }: TokenWish): URL {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const one of scope.split(' ')) if (one !== '') url.searchParams.append('scope', one);
  return url;
}

async function refusal(answer: Answer, wish: TokenWish, limits: Limits): Promise<Result<never, UpstreamFailure>> {
  const { status } = answer;
  const message = colon(await messageOf(answer, limits));
  const who = wish.account === undefined ? 'an anonymous request' : 'the configured account';
  const what = status === 401 || status === 403 ? `refused ${who} (${status})` : `answered ${status}`;
  return unavailable(`the token endpoint ${urlText(wish.realm)} ${what}${message}`, limits.unavailableSeconds);
}

async function readToken({ body }: Answer, askedAt: number, limits: Limits): Promise<Token | undefined> {
  try {
    const bytes = await body.read({ bytes: limits.maxTokenBytes, milliseconds: limits.tokenTimeoutMs });
    if (bytes === undefined) return undefined;
    const { token, access_token, expires_in } = tokenBody.parse(JSON.parse(new TextDecoder().decode(bytes)));
    const text = token ?? access_token ?? '';
    // What cannot stand in a header is no token.
    return /^[\x21-\x7e]+$/.test(text) ? { text, askedAt, usableMs: usableMsOf(expires_in) } : undefined;
  } catch {
    return undefined;
  }
}

function usableMsOf(expiresIn: unknown): number {
  const makesSense = typeof expiresIn === 'number' && expiresIn > 0 && expiresIn <= maxLifetimeSeconds;
  return (makesSense ? expiresIn : defaultLifetimeSeconds) * 1000 * usablePart;
}

function secondsOf(failure: Trouble): number | undefined {
  return 'retryAfterSeconds' in failure ? failure.retryAfterSeconds : undefined;
}

function unavailable(reason: string, retryAfterSeconds: number): Result<never, UpstreamFailure> {
  return fail({ kind: 'unavailable', reason, retryAfterSeconds });
}
