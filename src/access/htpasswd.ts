/** Apache's file of users: `name:hash` in lines, `#` in front of comments. Only bcrypt is accepted, as `registry:2` does. */
import { fail, ok, type Result } from '../oci/result.ts';
import { limits } from './limits.ts';
import { parseUserName, type UserName } from './user-name.ts';

export interface Htpasswd {
  readonly users: ReadonlyMap<string, StoredHash>;
  /** Lines that let nobody in, and why. The reason never has the hash in it. */
  readonly unusable: readonly { readonly line: number; readonly reason: string }[];
}

export interface StoredHash {
  /** `$2a$`, `$2b$` or `$2y$`, as in the file. */
  readonly text: string;
  /** Doubles the work with each step. */
  readonly cost: number;
}

export const noUsers: Htpasswd = { users: new Map(), unusable: [] };

/** Fails for a file that ends within a line: somebody is still writing it. */
export function parseHtpasswd(content: string): Result<Htpasswd, string> {
  const users = new Map<string, StoredHash>();
  const unusable: { line: number; reason: string }[] = [];
  const lines = linesOf(content);
  for (const [index, text] of lines.entries()) {
    const parsed = parseLine(text);
    if (parsed === undefined) continue;
    const reason = parsed.ok && users.has(parsed.value.name) ? 'the user has a line above this one' : reasonOf(parsed);
    if (reason !== undefined) unusable.push({ line: index + 1, reason });
    else if (parsed.ok) users.set(parsed.value.name, parsed.value.hash);
  }
  const isCut = !content.endsWith('\n') && unusable.at(-1)?.line === lines.length;
  return isCut ? fail('it ends in the middle of a line') : ok({ users, unusable });
}

/** The file with the user's hash in it. All other lines stay as they are. */
export function withUser(content: string, name: UserName, hash: string): string {
  const line = `${name}:${hash}`;
  const lines = linesOf(content);
  const first = lines.findIndex((text) => nameIn(text) === name);
  if (first < 0) return joined([...lines, line]);
  return joined(lines.flatMap((text, index) => (index === first ? [line] : nameIn(text) === name ? [] : [text])));
}

/** Undefined where the user has no line. */
export function withoutUser(content: string, name: string): string | undefined {
  const lines = linesOf(content);
  const left = lines.filter((text) => nameIn(text) !== name);
  return left.length === lines.length ? undefined : joined(left);
}

function linesOf(content: string): readonly string[] {
  const lines = content.split(/\r?\n/);
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

function isComment(text: string): boolean {
  return text.trim() === '' || text.trimStart().startsWith('#');
}

function nameIn(text: string): string | undefined {
  return isComment(text) || !text.includes(':') ? undefined : text.slice(0, text.indexOf(':'));
}

type Line = Result<{ readonly name: UserName; readonly hash: StoredHash }, string>;

function parseLine(text: string): Line | undefined {
  if (isComment(text)) return undefined;
  const colon = text.indexOf(':');
  if (colon < 0) return fail('it has no colon');
  const name = parseUserName(text.slice(0, colon));
  if (!name.ok) return fail(name.failure.reason);
  const hash = parseHash(text.slice(colon + 1).trimEnd());
  return hash.ok ? ok({ name: name.value, hash: hash.value }) : hash;
}

function reasonOf(line: Line): string | undefined {
  return line.ok ? undefined : line.failure;
}

function parseHash(text: string): Result<StoredHash, string> {
  const [, digits] = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(text) ?? [];
  if (digits === undefined) return fail('its hash is not bcrypt (htpasswd -B makes such)');
  const cost = Number(digits);
  if (cost < 4 || cost > limits.maxBcryptCost) {
    return fail(`its hash has the cost ${cost}, and 4 to ${limits.maxBcryptCost} are accepted`);
  }
  return ok({ text, cost });
}
