/** Tokens for machines: passwords of high entropy, several per user, each with an end and with bounds. */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { parseCanonicalPattern } from '../oci/repository-pattern.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { everyAction } from './action.ts';
import type { MachineLimits } from './identity.ts';
import { limits } from './limits.ts';

/** Of every token, so that people and scanners recognise one that leaked. */
const prefix = 'ent_';
const secretBytes = 32;
const idBytes = 4;

/** Its syntax is looked at before anything is hashed. */
const tokenSyntax = new RegExp(`^${prefix}[A-Za-z0-9_-]{43}$`);

const pattern = z.string().transform((text, context) => {
  const parsed = parseCanonicalPattern(text);
  if (parsed.ok) return parsed.value;
  context.addIssue({ code: 'custom', message: parsed.failure.reason });
  return z.NEVER;
});

const machineToken = z.object({
  id: z.string().regex(/^[0-9a-f]{8}$/),
  name: z.string(),
  user: z.string(),
  /** Of the token, in hexadecimal: with 256 random bits in it, no slow hash is needed. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  createdAt: z.iso.datetime(),
  /** Null for never. */
  expiresAt: z.iso.datetime().nullable(),
  /** Patterns of canonical names; null for all. */
  repositories: z.array(pattern).nullable(),
  actions: z.array(z.enum(['pull', 'push', 'delete'])),
});

const tokensFile = z.object({ version: z.literal(1), tokens: z.array(machineToken).max(limits.maxMachineTokens) });

export type MachineToken = Readonly<z.output<typeof machineToken>>;

export interface MachineTokens {
  /** In the order in which they were made. */
  readonly all: readonly MachineToken[];
  readonly byHash: ReadonlyMap<string, MachineToken>;
  readonly byId: ReadonlyMap<string, MachineToken>;
}

export const noMachineTokens: MachineTokens = indexed([]);

export function parseMachineTokens(content: string): Result<MachineTokens, string> {
  if (content === '') return ok(noMachineTokens);
  let document: unknown;
  try {
    document = JSON.parse(content);
  } catch {
    return fail('is not JSON');
  }
  const parsed = tokensFile.safeParse(document);
  if (parsed.success) return ok(indexed(parsed.data.tokens));
  const [issue] = parsed.error.issues;
  return fail(`is not a list of tokens: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`);
}

export function machineTokensText(tokens: readonly MachineToken[]): string {
  const written = tokens.map((token) => ({
    ...token,
    repositories: token.repositories?.map(({ text }) => text) ?? null,
  }));
  return `${JSON.stringify({ version: 1, tokens: written }, null, 2)}\n`;
}

/** What a token is to be. Times in milliseconds since 1970. */
export interface TokenWish extends MachineLimits {
  readonly user: string;
  readonly name: string;
  readonly createdAt: number;
  /** Undefined for never. */
  readonly expiresAt: number | undefined;
}

/** The secret is nowhere else: whoever loses it needs another token. */
export function createMachineToken(wish: TokenWish): { readonly secret: string; readonly token: MachineToken } {
  const secret = `${prefix}${randomBytes(secretBytes).toString('base64url')}`;
  const token = {
    id: randomBytes(idBytes).toString('hex'),
    name: wish.name,
    user: wish.user,
    sha256: sha256(secret),
    createdAt: new Date(wish.createdAt).toISOString(),
    expiresAt: wish.expiresAt === undefined ? null : new Date(wish.expiresAt).toISOString(),
    repositories: wish.repositories === undefined ? null : [...wish.repositories],
    actions: everyAction.filter((action) => wish.actions.has(action)),
  };
  return { secret, token };
}

/** The user's token that this password is, unless it has expired. Found by its hash: time tells nothing of the secret. */
export function findMachineToken(
  { byHash }: MachineTokens,
  { user, password, now }: { readonly user: string; readonly password: string; readonly now: number },
): MachineToken | undefined {
  if (!tokenSyntax.test(password)) return undefined;
  const token = byHash.get(sha256(password));
  return token?.user === user && !isExpired(token, now) ? token : undefined;
}

export function isExpired({ expiresAt }: MachineToken, now: number): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= now;
}

export function limitsOf({ repositories, actions }: MachineToken): MachineLimits {
  return { repositories: repositories ?? undefined, actions: new Set(actions) };
}

function indexed(all: readonly MachineToken[]): MachineTokens {
  return {
    all,
    byHash: new Map(all.map((token) => [token.sha256, token])),
    byId: new Map(all.map((token) => [token.id, token])),
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
