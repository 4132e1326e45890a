import { type Action, everyAction } from '../access/action.ts';
import { parseUserName, type UserName } from '../access/user-name.ts';
import { parseDuration } from '../config/units.ts';
import { parseCanonicalPattern, type RepositoryPattern } from '../oci/repository-pattern.ts';
import { fail, ok, type Result } from '../oci/result.ts';

/** What `entrepot user …` is to do. */
export type UserCommand =
  | { readonly act: 'add'; readonly user: UserName }
  | { readonly act: 'rm'; readonly user: string }
  | { readonly act: 'ls' }
  | ({ readonly act: 'token create' } & TokenOptions)
  | { readonly act: 'token ls'; readonly user: string | undefined }
  | { readonly act: 'token rm'; readonly id: string };

export interface TokenOptions {
  readonly user: string;
  readonly name: string;
  /** Milliseconds from now; undefined for never. */
  readonly expiresInMs: number | undefined;
  /** Undefined for all. */
  readonly repositories: readonly RepositoryPattern[] | undefined;
  readonly actions: ReadonlySet<Action>;
}

export interface UserValues {
  readonly name: string | undefined;
  readonly expires: string | undefined;
  readonly repository: readonly string[];
  readonly action: readonly string[];
}

/** The words that follow `user`, as one command. */
const userActs = ['add', 'rm', 'ls', 'token create', 'token ls', 'token rm'] as const;

type UserAct = (typeof userActs)[number];

/** Beside --config and --help. */
const optionsOf: Readonly<Record<UserAct, readonly string[]>> = {
  add: [],
  rm: [],
  ls: ['json'],
  'token create': ['json', 'name', 'expires', 'repository', 'action'],
  'token ls': ['json'],
  'token rm': [],
};

const maxTokenNameCharacters = 100;

/** A century: what is meant to last longer needs no end, and dates have one. */
const maxExpiresInMs = 36_525 * 86_400_000;

/** Which act the words begin with, and what follows it. */
export function userActOf(words: readonly string[]): Result<readonly [UserAct, readonly string[]], string> {
  const act = userActs.find((candidate) => candidate.split(' ').every((word, index) => word === words[index]));
  if (act !== undefined) return ok([act, words.slice(act.split(' ').length)]);
  const isToken = words[0] === 'token';
  const unknown = isToken ? words[1] : words[0];
  const known = isToken
    ? 'user token create, user token ls or user token rm'
    : 'user add, user rm, user ls or user token';
  return fail(`${unknown === undefined ? '' : `unknown user command ${JSON.stringify(unknown)}: `}it is ${known}`);
}

/** None where it is not even clear what is to be done. */
export function userOptionsOf(words: readonly string[]): readonly string[] {
  const act = userActOf(words);
  return act.ok ? optionsOf[act.value[0]] : [];
}

export function parseUserCommand(
  act: UserAct,
  [argument, ...others]: readonly string[],
  values: UserValues,
): Result<UserCommand, string> {
  const [surplus] = act === 'ls' && argument !== undefined ? [argument] : others;
  if (surplus !== undefined && act === 'add') {
    return fail('user add takes the password from a prompt or standard input, never as an argument');
  }
  if (surplus !== undefined) return fail(`user ${act} takes no argument ${JSON.stringify(surplus)}`);
  if (act === 'ls') return ok({ act });
  if (act === 'token ls') return ok({ act, user: argument });
  if (argument === undefined)
    return fail(`user ${act} needs ${act === 'token rm' ? 'the ID of a token' : 'a user name'}`);
  switch (act) {
    case 'add': {
      const user = parseUserName(argument);
      return user.ok ? ok({ act, user: user.value }) : fail(`${JSON.stringify(argument)}: ${user.failure.reason}`);
    }
    case 'rm':
      return ok({ act, user: argument });
    case 'token rm':
      return ok({ act, id: argument });
    case 'token create':
      return parseTokenOptions(argument, values);
  }
}

function parseTokenOptions(user: string, values: UserValues): Result<UserCommand, string> {
  const { name, expires } = values;
  if (name === undefined) return fail('user token create needs --name, which says what the token is for');
  if (name.length > maxTokenNameCharacters || /\p{Cc}/u.test(name)) {
    return fail(`the name of a token has at most ${maxTokenNameCharacters} characters, on one line`);
  }
  const expiresIn = expires === undefined ? undefined : parseDuration(expires);
  if (expiresIn?.ok === false) {
    return fail(`--expires ${JSON.stringify(expires)} is no duration such as "90d": ${expiresIn.failure.reason}`);
  }
  if (expiresIn?.value === 0) return fail('--expires 0 makes a token that is good for nothing');
  if ((expiresIn?.value ?? 0) > maxExpiresInMs) return fail('--expires is at most a century; leave it out for no end');
  const repositories: RepositoryPattern[] = [];
  for (const text of values.repository) {
    const pattern = parseCanonicalPattern(text);
    if (!pattern.ok) return fail(`${JSON.stringify(text)} is no pattern: ${pattern.failure.reason}`);
    repositories.push(pattern.value);
  }
  const actions = everyAction.filter((action) => values.action.length === 0 || values.action.includes(action));
  const unknown = values.action.find((action) => !everyAction.some((known) => known === action));
  if (unknown !== undefined) return fail(`--action is pull, push or delete, not ${JSON.stringify(unknown)}`);
  return ok({
    act: 'token create',
    user,
    name,
    expiresInMs: expiresIn?.value,
    repositories: repositories.length === 0 ? undefined : repositories,
    actions: new Set(actions),
  });
}
