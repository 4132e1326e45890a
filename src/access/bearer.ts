import { createHmac } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Clock } from './clock.ts';
import { limits } from './limits.ts';
import { parseScopes, type Scope, scopeText } from './scope.ts';

const issuer = 'entrepot';
/** What challenges name as `service`: the audience of every token. */
export const tokenService = 'entrepot';
const algorithm = 'HS256';
/** RFC 9068's name for such tokens: no other kind of signed text can be taken for one. */
const tokenType = 'at+jwt';

/** Whom a token is for, and what its holder asked for. */
export interface Grant {
  /** Undefined for anonymous. */
  readonly holder?: Holder | undefined;
  readonly scopes: readonly Scope[];
}

export interface Holder {
  readonly user: string;
  /** The machine token that he came with. */
  readonly machineToken?: string | undefined;
  /** What proved who he is, as it is stored. Goes into the token as a {@link Bearer.fingerprint} only. */
  readonly credential: string;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  /** Milliseconds since 1970, a whole second. */
  readonly issuedAt: number;
  /** Whose it is; undefined for an anonymous one. */
  readonly user: string | undefined;
}

export type TokenTrouble = 'expired' | 'worthless';

/** What a token says that is ours and still lasts. Whether its user still exists is not known yet. */
export interface Claims {
  readonly holder?: { readonly user: string; readonly machineToken?: string | undefined; readonly fingerprint: string };
  readonly scopes: readonly Scope[];
}

const claims = z.object({
  sub: z.string().optional(),
  machine: z.string().optional(),
  fingerprint: z.string().optional(),
  scopes: z.array(z.string()),
});

/** Short-lived tokens, signed with a key that nobody else has. They tell who asks, never what he may do. */
export class Bearer {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  constructor(key: Uint8Array, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  async issue({ holder, scopes }: Grant): Promise<IssuedToken> {
    const issuedAtSeconds = Math.floor(this.#clock.now() / 1000);
    const token = await new SignJWT({
      scopes: scopes.map(scopeText),
      ...(holder && { sub: holder.user, fingerprint: this.fingerprint(holder.user, holder.credential) }),
      ...(holder?.machineToken !== undefined && { machine: holder.machineToken }),
    })
      .setProtectedHeader({ alg: algorithm, typ: tokenType })
      .setIssuer(issuer)
      .setAudience(tokenService)
      .setIssuedAt(issuedAtSeconds)
      .setExpirationTime(issuedAtSeconds + limits.bearerTtlSeconds)
      .sign(this.#key);
    return { token, expiresInSeconds: limits.bearerTtlSeconds, issuedAt: issuedAtSeconds * 1000, user: holder?.user };
  }

  async verify(token: string): Promise<Result<Claims, TokenTrouble>> {
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: [algorithm],
        typ: tokenType,
        issuer,
        audience: tokenService,
        requiredClaims: ['iat', 'exp'],
        currentDate: new Date(this.#clock.now()),
      });
      return claimsOf(payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired) return fail('expired');
      if (error instanceof errors.JOSEError) return fail('worthless');
      throw error;
    }
  }

  /** Changes with the stored credential; nobody without the key can try passwords on it. */
  fingerprint(user: string, credential: string): string {
    const parts = JSON.stringify(['fingerprint', user, credential]);
    return createHmac('sha256', this.#key).update(parts).digest('base64url').slice(0, 22);
  }
}

function claimsOf(payload: unknown): Result<Claims, TokenTrouble> {
  const parsed = claims.safeParse(payload);
  if (!parsed.success) return fail('worthless');
  const { sub, machine, fingerprint } = parsed.data;
  const scopes = parseScopes(parsed.data.scopes);
  if (!scopes.ok) return fail('worthless');
  if (sub === undefined) return ok({ scopes: scopes.value });
  if (fingerprint === undefined) return fail('worthless');
  return ok({ holder: { user: sub, machineToken: machine, fingerprint }, scopes: scopes.value });
}
