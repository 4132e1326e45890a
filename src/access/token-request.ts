import { fail, ok, type Result } from '../oci/result.ts';
import { type Authorization, parseAuthorization } from './authorization.ts';
import { parseScopes, type Scope } from './scope.ts';

/** As it came in over HTTP. */
export interface TokenRequest {
  readonly method: 'GET' | 'POST';
  /** Of the query, or of the form that was posted. */
  readonly parameters: URLSearchParams;
  /** The header. */
  readonly authorization: string | undefined;
  /** Of the client, as its socket has it. */
  readonly address: string;
}

export interface TokenWant {
  /** `unknown`: credentials that cannot be ours, whatever is in them. */
  readonly credentials: Extract<Authorization, { kind: 'none' | 'basic' }> | { readonly kind: 'unknown' };
  readonly scopes: readonly Scope[];
}

export interface BadTokenRequest {
  readonly kind: 'bad-request';
  readonly reason: string;
}

/** What a client wants of `/token`: by GET as Docker's token specification has it, or by POST as OAuth2. */
export function parseTokenRequest(request: TokenRequest): Result<TokenWant, BadTokenRequest> {
  const scopes = parseScopes(request.parameters.getAll('scope'));
  if (!scopes.ok) return fail({ kind: 'bad-request', reason: scopes.failure.reason });
  const credentials = request.method === 'GET' ? ok(fromHeader(request)) : fromForm(request);
  return credentials.ok ? ok({ credentials: credentials.value, scopes: scopes.value }) : credentials;
}

function fromHeader({ authorization }: TokenRequest): TokenWant['credentials'] {
  const parsed = parseAuthorization(authorization);
  return parsed.ok && parsed.value.kind !== 'bearer' ? parsed.value : { kind: 'unknown' };
}

function fromForm(request: TokenRequest): Result<TokenWant['credentials'], BadTokenRequest> {
  const { parameters } = request;
  const grant = parameters.get('grant_type');
  // No such token was ever given out here: it is another registry's, such as Docker Hub's.
  if (grant === 'refresh_token') return ok({ kind: 'unknown' });
  if (grant !== 'password') return badRequest('grant_type must be "password"');
  const [user, password] = [parameters.get('username'), parameters.get('password')];
  if (user !== null && password !== null) return ok({ kind: 'basic', user, password });
  const header = fromHeader(request);
  return header.kind === 'none' ? badRequest('username and password are missing') : ok(header);
}

function badRequest(reason: string): Result<never, BadTokenRequest> {
  return fail({ kind: 'bad-request', reason });
}
