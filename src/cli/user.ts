import { accountFiles } from '../access/accounts.ts';
import { EditAccounts } from '../access/edit-accounts.ts';
import { limits } from '../access/limits.ts';
import { isExpired, type MachineToken } from '../access/machine-tokens.ts';
import type { UserName } from '../access/user-name.ts';
import { loadConfig } from '../config/load.ts';
import type { Result } from '../oci/result.ts';
import { systemClock } from '../ops/clock.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { readNewPassword } from './password.ts';
import { tellProblems } from './problems.ts';
import { jsonText, table } from './text.ts';
import type { TokenOptions, UserCommand } from './user-arguments.ts';
import { ReaderLeft, write } from './write.ts';

export interface UserOptions {
  readonly config: string;
  readonly json: boolean;
  readonly user: UserCommand;
}

/** Edits the files of users and tokens. Needs no daemon; one that runs notices. */
export async function user({ user: command, config, json }: UserOptions, io: Io): Promise<ExitCode> {
  const loaded = await loadConfig({ file: config, env: io.env });
  if (!loaded.ok) return tellProblems(loaded.failure, { json }, io);
  const { storage, access } = loaded.value;
  try {
    return await act(command, new EditAccounts(accountFiles(storage.path, access.htpasswd)), { json }, io);
  } catch (error) {
    if (error instanceof ReaderLeft) return exitCode.done;
    throw error;
  }
}

interface Output {
  readonly json: boolean;
}

function act(command: UserCommand, accounts: EditAccounts, output: Output, io: Io): Promise<ExitCode> {
  switch (command.act) {
    case 'add':
      return add(command.user, accounts, io);
    case 'rm':
      return tellRemoved(accounts.removeUser(command.user), `user ${JSON.stringify(command.user)}`, io);
    case 'ls':
      return list(accounts, output, io);
    case 'token create':
      return createToken(command, accounts, output, io);
    case 'token ls':
      return listTokens(command.user, accounts, output, io);
    case 'token rm':
      return tellRemoved(accounts.removeToken(command.id), `token ${JSON.stringify(command.id)}`, io);
  }
}

async function add(name: UserName, accounts: EditAccounts, io: Io): Promise<ExitCode> {
  const password = await readNewPassword(name, io);
  if (!password.ok) return failed(password.failure, io);
  if (password.value === '') return failed('an empty password is none; nothing was changed', io, exitCode.misused);
  if (Buffer.byteLength(password.value) > limits.maxPasswordBytes) {
    const reason = `bcrypt looks at no more than ${limits.maxPasswordBytes} bytes of a password: take a shorter one`;
    return failed(reason, io, exitCode.misused);
  }
  const added = await accounts.setPassword(name, password.value);
  if (!added.ok) return failed(added.failure, io);
  io.stderr.write(`entrepot: ${added.value ? 'added' : 'changed the password of'} ${name}\n`);
  return exitCode.done;
}

async function list(accounts: EditAccounts, { json }: Output, io: Io): Promise<ExitCode> {
  const [users, tokens] = [await accounts.users(), await accounts.tokens()];
  if (!users.ok) return failed(users.failure, io);
  if (!tokens.ok) return failed(tokens.failure, io);
  const rows = [...users.value.users.keys()].map((name) => ({
    name,
    tokens: tokens.value.filter((token) => token.user === name).length,
  }));
  for (const { line, reason } of users.value.unusable) {
    io.stderr.write(`entrepot: line ${line} of the file lets nobody in: ${reason}\n`);
  }
  if (json) await write(io.stdout, jsonText(rows));
  else if (rows.length > 0) {
    await write(io.stdout, table([['USER', 'TOKENS'], ...rows.map((row) => [row.name, String(row.tokens)])]));
  } else io.stderr.write('entrepot: there are no users yet (add one with "entrepot user add NAME")\n');
  return exitCode.done;
}

async function createToken(
  { user, name, expiresInMs, repositories, actions }: TokenOptions,
  accounts: EditAccounts,
  { json }: Output,
  io: Io,
): Promise<ExitCode> {
  const createdAt = systemClock.now();
  const expiresAt = expiresInMs === undefined ? undefined : createdAt + expiresInMs;
  const made = await accounts.createToken({ user, name, createdAt, expiresAt, repositories, actions });
  if (!made.ok) return failed(made.failure, io);
  const { secret, token } = made.value;
  if (json) await write(io.stdout, jsonText({ ...shown(token), secret }));
  else {
    io.stderr.write(`entrepot: token ${token.id}, to be used as the password of ${user}; it is shown only now:\n`);
    await write(io.stdout, `${secret}\n`);
  }
  return exitCode.done;
}

async function listTokens(
  user: string | undefined,
  accounts: EditAccounts,
  { json }: Output,
  io: Io,
): Promise<ExitCode> {
  const tokens = await accounts.tokens();
  if (!tokens.ok) return failed(tokens.failure, io);
  const listed = tokens.value.filter((token) => user === undefined || token.user === user);
  if (json) await write(io.stdout, jsonText(listed.map(shown)));
  else if (listed.length > 0) {
    const head = ['ID', 'USER', 'NAME', 'ACTIONS', 'REPOSITORIES', 'CREATED', 'EXPIRES'];
    await write(io.stdout, table([head, ...listed.map(rowOf)]));
  } else io.stderr.write('entrepot: there are no tokens\n');
  return exitCode.done;
}

/** Without the hash, which is nobody's business. */
function shown({ id, user, name, actions, repositories, createdAt, expiresAt }: MachineToken) {
  return {
    id,
    user,
    name,
    actions,
    repositories: repositories?.map(({ text }) => text) ?? null,
    createdAt,
    expiresAt,
  };
}

function rowOf(token: MachineToken): readonly string[] {
  const { id, user, name, actions, repositories, createdAt, expiresAt } = token;
  const day = (time: string) => time.slice(0, 10);
  const end = isExpired(token, systemClock.now()) ? 'expired' : expiresAt === null ? 'never' : day(expiresAt);
  const where = repositories?.map(({ text }) => text).join(',') ?? 'all';
  return [id, user, name, actions.join(','), where, day(createdAt), end];
}

async function tellRemoved(removing: Promise<Result<boolean, string>>, what: string, io: Io): Promise<ExitCode> {
  const removed = await removing;
  if (!removed.ok) return failed(removed.failure, io);
  if (!removed.value) return failed(`there is no ${what}`, io);
  io.stderr.write(`entrepot: removed ${what}\n`);
  return exitCode.done;
}

function failed(reason: string, io: Io, code: ExitCode = exitCode.failed): ExitCode {
  io.stderr.write(`entrepot: ${reason}\n`);
  return code;
}
