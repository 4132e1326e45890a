import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { type Htpasswd, noUsers, parseHtpasswd } from './htpasswd.ts';
import { type MachineTokens, noMachineTokens, parseMachineTokens } from './machine-tokens.ts';
import { WatchedFile } from './watched-file.ts';

export interface AccountFiles {
  readonly htpasswd: string;
  readonly tokens: string;
}

/** @param htpasswd as configured, absolute; undefined for the one in the data directory */
export function accountFiles(dataPath: string, htpasswd: string | undefined): AccountFiles {
  return { htpasswd: htpasswd ?? join(dataPath, 'htpasswd'), tokens: join(dataPath, 'tokens.json') };
}

/** The users and their machine tokens, as the files have them at this moment. */
export class Accounts {
  readonly #htpasswd: WatchedFile<Htpasswd>;
  readonly #tokens: WatchedFile<MachineTokens>;

  private constructor(files: AccountFiles, clock: Clock, onTrouble: (message: string) => void) {
    const tellUnusable = unusableTeller(files.htpasswd, onTrouble);
    this.#htpasswd = new WatchedFile({
      path: files.htpasswd,
      parse: (content) => {
        const parsed = parseHtpasswd(content);
        if (parsed.ok) tellUnusable(parsed.value.unusable);
        return parsed;
      },
      nothing: noUsers,
      clock,
      onTrouble,
    });
    this.#tokens = new WatchedFile({
      path: files.tokens,
      parse: parseMachineTokens,
      nothing: noMachineTokens,
      clock,
      onTrouble,
    });
  }

  static async open(files: AccountFiles, clock: Clock, onTrouble: (message: string) => void): Promise<Accounts> {
    const accounts = new Accounts(files, clock, onTrouble);
    await accounts.reload();
    return accounts;
  }

  get htpasswd(): Htpasswd {
    return this.#htpasswd.current;
  }

  /** A file that lets nobody in, because of what stands in it or because it cannot be read, was meant to keep people out. */
  get haveUsers(): boolean {
    const { users, unusable } = this.#htpasswd.current;
    return users.size > 0 || unusable.length > 0 || this.#htpasswd.isUnknown;
  }

  get tokens(): MachineTokens {
    return this.#tokens.current;
  }

  /** Undefined when there was no need. Never rejects. */
  look(): Promise<unknown> | undefined {
    const [users, tokens] = [this.#htpasswd.look(), this.#tokens.look()];
    return users === undefined && tokens === undefined ? undefined : Promise.all([users, tokens]);
  }

  async reload(): Promise<void> {
    await Promise.all([this.#htpasswd.reload(), this.#tokens.reload()]);
  }
}

/** Of lines that let nobody in: told when they appear or change, not each time that the file is read. */
function unusableTeller(path: string, onTrouble: (message: string) => void): (lines: Htpasswd['unusable']) => void {
  let told = '';
  return (lines) => {
    const message = lines.map(({ line, reason }) => `line ${line}: ${reason}`).join('; ');
    if (message !== told && message !== '') onTrouble(`${path} has lines that let nobody in: ${message}`);
    told = message;
  };
}
