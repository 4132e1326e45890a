import { randomBytes } from 'node:crypto';
import { failure, type Headers, jsonReply, type Reply } from './reply.ts';
import type { Arrival, Identity } from './requests.ts';

const ANONYMOUS = 'anonymous';
const SERVICE = 'registry.fake.test';

/** What a client has to assume of a token without `expires_in` (distribution, docs/content/spec/auth/token.md). */
const UNSTATED_TTL_SECONDS = 60;

export interface AccessOptions {
  readonly auth?: 'none' | 'token' | 'basic';
  /** Passwords by name. */
  readonly users?: Readonly<Record<string, string>>;
  /** Names, or patterns where `*` stands for anything. Anonymous tokens do not open them. */
  readonly privateRepositories?: readonly string[];
  /** Which private repositories a user may pull, by name of the user. A user who is not listed may pull all. */
  readonly grants?: Readonly<Record<string, readonly string[]>>;
  /** Sent as `expires_in`; without it the field is left out and a token lives 60 seconds. */
  readonly tokenTtlSeconds?: number | undefined;
  readonly tokenField?: 'token' | 'access_token' | 'both';
  /** The clock in milliseconds by which tokens grow old. */
  readonly now?: () => number;
}

interface Token {
  readonly user: string;
  readonly repositories: ReadonlySet<string>;
  expiresAt: number;
}

/** Who may pull what, and the token endpoint that says so. */
export class Access {
  readonly #options: AccessOptions;
  readonly #realm: () => string;
  readonly #tokens = new Map<string, Token>();

  constructor(options: AccessOptions, realm: () => string) {
    this.#options = options;
    this.#realm = realm;
  }

  identify(authorization: string | undefined): Identity {
    if (authorization === undefined) return { scheme: 'none', user: undefined };
    const { scheme, value } = splitAuthorization(authorization);
    if (scheme === 'basic') return { scheme, user: splitCredentials(value).user };
    if (scheme === 'bearer') return { scheme, user: this.#tokens.get(value)?.user };
    return { scheme: 'other', user: undefined };
  }

  /** The 401 that this request earns, or undefined if it may pass. */
  refusal(request: Arrival): Reply | undefined {
    switch (this.#options.auth ?? 'none') {
      case 'none':
        return undefined;
      case 'basic':
        return this.#mayPullWithBasic(request) ? undefined : this.#unauthorized(request);
      case 'token': {
        const error = this.#tokenError(request);
        return error === undefined ? undefined : this.#unauthorized(request, error);
      }
    }
  }

  /** `error` as RFC 6750 section 3.1 names it; empty for a request that brought no token. */
  challenge(request: Arrival, error = ''): Headers {
    switch (this.#options.auth ?? 'none') {
      case 'none':
        return {};
      case 'basic':
        return { 'www-authenticate': 'Basic realm="Fake registry"' };
      case 'token': {
        const scope = request.repository === undefined ? '' : `,scope="repository:${request.repository}:pull"`;
        const reason = error === '' ? '' : `,error="${error}"`;
        return { 'www-authenticate': `Bearer realm="${this.#realm()}",service="${SERVICE}"${scope}${reason}` };
      }
    }
  }

  /**
   * As on Docker Hub, whoever may not pull a repository gets a token all the same, one that does not open it, and
   * nobody looks whether the repository exists (docker/hub-feedback#1771).
   */
  issueToken(request: Arrival): Reply {
    if (request.method !== 'GET') return failure(405, 'UNSUPPORTED', 'only GET');
    const { authorization } = request.headers;
    const user = authorization === undefined ? ANONYMOUS : this.#userOf(authorization);
    if (user === undefined) return jsonReply(401, { details: 'incorrect username or password' });

    const ttl = this.#options.tokenTtlSeconds;
    const token = randomBytes(24).toString('base64url');
    this.#tokens.set(token, {
      user,
      repositories: new Set(pulledRepositories(request.query).filter((name) => this.#mayPull(user, name))),
      expiresAt: this.#now() + (ttl ?? UNSTATED_TTL_SECONDS) * 1000,
    });
    const field = this.#options.tokenField ?? 'token';
    return jsonReply(200, {
      ...(field === 'access_token' ? {} : { token }),
      ...(field === 'token' ? {} : { access_token: token }),
      ...(ttl === undefined ? {} : { expires_in: ttl, issued_at: new Date(this.#now()).toISOString() }),
    });
  }

  expireTokens(): void {
    for (const token of this.#tokens.values()) token.expiresAt = Number.NEGATIVE_INFINITY;
  }

  #tokenError(request: Arrival): string | undefined {
    const { authorization } = request.headers;
    if (authorization === undefined || request.scheme !== 'bearer') return '';
    const token = this.#tokens.get(splitAuthorization(authorization).value);
    if (token === undefined || token.expiresAt <= this.#now()) return 'invalid_token';
    const { repository } = request;
    return repository === undefined || token.repositories.has(repository) ? undefined : 'insufficient_scope';
  }

  #mayPullWithBasic({ headers, repository }: Arrival): boolean {
    const user = headers.authorization === undefined ? undefined : this.#userOf(headers.authorization);
    return user !== undefined && (repository === undefined || this.#mayPull(user, repository));
  }

  #mayPull(user: string, repository: string): boolean {
    if (!matchesAny(repository, this.#options.privateRepositories ?? [])) return true;
    return user !== ANONYMOUS && matchesAny(repository, this.#options.grants?.[user] ?? ['*']);
  }

  #userOf(authorization: string): string | undefined {
    const { scheme, value } = splitAuthorization(authorization);
    const { user, password } = splitCredentials(value);
    return scheme === 'basic' && this.#options.users?.[user] === password ? user : undefined;
  }

  #unauthorized(request: Arrival, error?: string): Reply {
    return failure(401, 'UNAUTHORIZED', 'authentication required', this.challenge(request, error));
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

function splitAuthorization(header: string): { readonly scheme: string; readonly value: string } {
  const [scheme = '', value = ''] = header.split(' ', 2);
  return { scheme: scheme.toLowerCase(), value };
}

function splitCredentials(base64: string): { readonly user: string; readonly password: string } {
  const [, user = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(base64, 'base64').toString()) ?? [];
  return { user, password };
}

/** Scopes come as several parameters or as one with spaces: `repository:library/alpine:pull`. */
function pulledRepositories(query: URLSearchParams): readonly string[] {
  return query
    .getAll('scope')
    .flatMap((scopes) => scopes.split(' '))
    .map((scope) => /^repository:([^:]+):(?:.*,)?pull(?:,|$)/.exec(scope)?.[1])
    .filter((name) => name !== undefined);
}

function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const expression = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${expression.join('.*')}$`).test(name);
  });
}
