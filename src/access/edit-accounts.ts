import { readFile } from 'node:fs/promises';
import { fail, ok, type Result } from '../oci/result.ts';
import { unlessMissing } from '../ops/durable-files.ts';
import type { AccountFiles } from './accounts.ts';
import { hashPassword } from './bcrypt-runs.ts';
import { editFile } from './edit-file.ts';
import { type Htpasswd, parseHtpasswd, withoutUser, withUser } from './htpasswd.ts';
import { limits } from './limits.ts';
import {
  createMachineToken,
  type MachineToken,
  machineTokensText,
  parseMachineTokens,
  type TokenWish,
} from './machine-tokens.ts';
import type { UserName } from './user-name.ts';

/** A sentence for whoever edits. */
type Edited<T> = Promise<Result<T, string>>;

/**
 * The files of users and tokens, as they are edited by hand, so to speak: a daemon that runs notices. What is read here is read
 * anew each time.
 */
export class EditAccounts {
  readonly #files: AccountFiles;

  constructor(files: AccountFiles) {
    this.#files = files;
  }

  async users(): Edited<Htpasswd> {
    const content = await contentOf(this.#files.htpasswd);
    if (!content.ok) return content;
    const parsed = parseHtpasswd(content.value);
    return parsed.ok ? parsed : fail(`${this.#files.htpasswd} cannot be used: ${parsed.failure}`);
  }

  async tokens(): Edited<readonly MachineToken[]> {
    const content = await contentOf(this.#files.tokens);
    return content.ok ? this.#parse(content.value) : content;
  }

  /** Whether the user is new. */
  async setPassword(name: UserName, password: string): Edited<boolean> {
    const hash = await hashPassword(password);
    let isNew = false;
    const edited = await editFile(this.#files.htpasswd, (content) => {
      isNew = withoutUser(content, name) === undefined;
      return withUser(content, name, hash);
    });
    return edited.ok ? ok(isNew) : edited;
  }

  /** With his tokens, which must not come back with another user of the same name. Whether there was such a user. */
  async removeUser(name: string): Edited<boolean> {
    const tokens = await this.#editTokens((all) => all.filter(({ user }) => user !== name));
    return tokens.ok ? editFile(this.#files.htpasswd, (content) => notEmpty(withoutUser(content, name))) : tokens;
  }

  /** Gives the secret, which is not kept. */
  async createToken(wish: TokenWish): Edited<{ readonly secret: string; readonly token: MachineToken }> {
    const users = await this.users();
    if (!users.ok) return users;
    if (!users.value.users.has(wish.user)) return fail(`there is no user ${JSON.stringify(wish.user)}`);
    const made = createMachineToken(wish);
    const edited = await this.#editTokens((all) => (all.length < limits.maxMachineTokens ? [...all, made.token] : all));
    if (!edited.ok) return edited;
    return edited.value ? ok(made) : fail(`there are ${limits.maxMachineTokens} tokens already: remove some`);
  }

  /** Whether there was such a token. */
  removeToken(id: string): Edited<boolean> {
    return this.#editTokens((all) => all.filter((token) => token.id !== id));
  }

  async #editTokens(edit: (all: readonly MachineToken[]) => readonly MachineToken[]): Edited<boolean> {
    let trouble: string | undefined;
    const edited = await editFile(this.#files.tokens, (content) => {
      const tokens = this.#parse(content);
      trouble = tokens.ok ? undefined : tokens.failure;
      if (!tokens.ok) return undefined;
      const left = edit(tokens.value);
      return left.length === tokens.value.length ? undefined : machineTokensText(left);
    });
    return trouble === undefined ? edited : fail(trouble);
  }

  #parse(content: string): Result<readonly MachineToken[], string> {
    const parsed = parseMachineTokens(content);
    return parsed.ok ? ok(parsed.value.all) : fail(`${this.#files.tokens} ${parsed.failure}`);
  }
}

async function contentOf(path: string): Promise<Result<string, string>> {
  try {
    return ok((await readFile(path, 'utf8').catch(unlessMissing)) ?? '');
  } catch (error) {
    return fail(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** An empty file is believed only when it is seen twice, since others empty theirs before they write it anew. */
function notEmpty(content: string | undefined): string | undefined {
  return content === '' ? '# no users\n' : content;
}
