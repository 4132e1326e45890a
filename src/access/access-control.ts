import type { Repository } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { type AccountFiles, Accounts, accountFiles } from './accounts.ts';
import type { Action } from './action.ts';
import { parseAuthorization } from './authorization.ts';
import { Bearer, type Claims, type Holder, type IssuedToken } from './bearer.ts';
import type { Clock } from './clock.ts';
import { anonymous, type Identity } from './identity.ts';
import { findMachineToken, isExpired, limitsOf } from './machine-tokens.ts';
import { type Attempt, type PasswordFailure, Passwords } from './passwords.ts';
import { isAnonymous, may, type Policy } from './rules.ts';
import { loadSigningKey } from './signing-key.ts';
import { type BadTokenRequest, parseTokenRequest, type TokenRequest } from './token-request.ts';

export interface AccessSettings extends Policy {
  /** Absolute; undefined for the one in the data directory. */
  readonly htpasswd?: string | undefined;
}

export interface AccessOptions {
  readonly dataPath: string;
  readonly settings: AccessSettings;
  readonly clock: Clock;
  /** One sentence for the operator, once for each trouble; never with a secret in it. */
  readonly onTrouble: (message: string) => void;
}

export type IdentifyFailure =
  | PasswordFailure
  /** A bearer token that was good once. */
  | { readonly kind: 'token-expired' }
  /** A bearer token that is not ours, or whose user or machine token is gone. */
  | { readonly kind: 'bad-token' };

export type TokenFailure = PasswordFailure | BadTokenRequest;

interface Proved {
  readonly identity: Identity;
  readonly holder: Holder;
}

/** Who asks, and what he may do. */
export class AccessControl {
  readonly #options: AccessOptions;
  readonly #passwords: Passwords;
  #settings: AccessSettings;
  /** The last that were given. */
  #wanted: AccessSettings;
  #files: AccountFiles;
  #accounts: Accounts;
  #bearer: Promise<Bearer> | undefined;

  private constructor(options: AccessOptions, files: AccountFiles, accounts: Accounts) {
    this.#options = options;
    this.#settings = options.settings;
    this.#wanted = options.settings;
    this.#files = files;
    this.#accounts = accounts;
    this.#passwords = new Passwords(options.clock);
  }

  /** Never rejects for what the files say, or because they are not there. */
  static async open(options: AccessOptions): Promise<AccessControl> {
    const files = accountFiles(options.dataPath, options.settings.htpasswd);
    return new AccessControl(options, files, await Accounts.open(files, options.clock, options.onTrouble));
  }

  /** Without any there is no challenge. As of the last look at the file, which is a second ago at most when it is in use. */
  get hasUsers(): boolean {
    void this.#accounts.look();
    return this.#accounts.haveUsers;
  }

  /**
   * Who says he asks, from the `Authorization` header. Where there are no users, whatever is presented says nothing.
   *
   * @param address of the client, as its socket has it
   */
  async identify(header: string | undefined, address: string): Promise<Result<Identity, IdentifyFailure>> {
    const parsed = parseAuthorization(header);
    // Whoever has nothing to show is looked for too: whether there is a login may have changed while nobody asked.
    const looking = this.#accounts.look();
    if (looking !== undefined) await looking;
    if (parsed.ok && parsed.value.kind === 'none') return ok(anonymous);
    if (!this.hasUsers) return ok(anonymous);
    if (!parsed.ok) return fail({ kind: 'bad-credentials' });
    switch (parsed.value.kind) {
      case 'none':
        return ok(anonymous);
      case 'basic': {
        const proved = await this.#prove({ ...parsed.value, address });
        return proved.ok ? ok(proved.value.identity) : proved;
      }
      case 'bearer':
        return this.#identifyBearer(parsed.value.token);
    }
  }

  /** Whether this client may do that, by rules, settings and the bounds of its machine token. Of its scopes, see `actingOn`. */
  may(identity: Identity, address: string, action: Action, repository: Repository): boolean {
    return may(this.#settings, { identity, address }, action, repository);
  }

  /** Whether this client pulls there as everybody does: nobody knows him, or his machine token does not reach so far. */
  isAnonymous(identity: Identity, repository: Repository): boolean {
    return isAnonymous(this.#settings, identity, 'pull', repository);
  }

  /**
   * A token for whoever the request proves to be. Credentials that are not ours get the token of an anonymous client where every
   * scope is exactly `pull`: engines present those of Docker Hub to their mirrors, and never ask without them. Anywhere else (a
   * push; no scope, which is `docker login`) they are refused.
   */
  async issueToken(request: TokenRequest): Promise<Result<IssuedToken, TokenFailure>> {
    const parsed = parseTokenRequest(request);
    if (!parsed.ok) return parsed;
    const { credentials, scopes } = parsed.value;
    await this.#accounts.look();
    const bearer = await this.#loadBearer();
    if (credentials.kind === 'none' || !this.hasUsers) return ok(await bearer.issue({ scopes }));

    const proved =
      credentials.kind === 'basic'
        ? await this.#prove({ ...credentials, address: request.address })
        : fail({ kind: 'bad-credentials' } as const);
    if (proved.ok) return ok(await bearer.issue({ holder: proved.value.holder, scopes }));
    const onlyPulls = scopes.length > 0 && scopes.every((scope) => scope.type === 'repository' && scope.isExactlyPull);
    const isUnknown = proved.failure.kind === 'bad-credentials';
    // Whoever could not be checked now would be refused later where only users may pull: he had better try again.
    if (onlyPulls && (isUnknown || this.#settings.anonymous.pull)) return ok(await bearer.issue({ scopes }));
    return proved;
  }

  /** Looks at the files now. */
  reload(): Promise<void> {
    return this.#accounts.reload();
  }

  /**
   * Other settings take effect. Where they name another file, those that it lets in replace the others at once. While that file is
   * read, settings that come later win.
   */
  async replace(settings: AccessSettings): Promise<void> {
    this.#wanted = settings;
    const files = accountFiles(this.#options.dataPath, settings.htpasswd);
    if (files.htpasswd !== this.#files.htpasswd) {
      const accounts = await Accounts.open(files, this.#options.clock, this.#options.onTrouble);
      if (this.#wanted !== settings) return;
      this.#accounts = accounts;
      this.#files = files;
    }
    this.#settings = settings;
  }

  async #prove(attempt: Attempt): Promise<Result<Proved, PasswordFailure>> {
    const { htpasswd, tokens } = this.#accounts;
    const { user } = attempt;
    const token = findMachineToken(tokens, { ...attempt, now: this.#options.clock.now() });
    if (token !== undefined && htpasswd.users.has(user)) {
      const identity = { kind: 'user', name: user, machine: limitsOf(token) } as const;
      return ok({ identity, holder: { user, machineToken: token.id, credential: token.sha256 } });
    }
    const checked = await this.#passwords.check(attempt, htpasswd);
    if (!checked.ok) return checked;
    return ok({ identity: { kind: 'user', name: user }, holder: { user, credential: checked.value.text } });
  }

  async #identifyBearer(token: string): Promise<Result<Identity, IdentifyFailure>> {
    const bearer = await this.#loadBearer();
    const verified = await bearer.verify(token);
    if (!verified.ok) return fail({ kind: verified.failure === 'expired' ? 'token-expired' : 'bad-token' });
    return this.#identityOf(verified.value, bearer);
  }

  /** As things are now, not as they were when the token was issued. */
  #identityOf({ holder, scopes }: Claims, bearer: Bearer): Result<Identity, IdentifyFailure> {
    if (holder === undefined) return ok(anonymous);
    const { htpasswd, tokens } = this.#accounts;
    const stored = htpasswd.users.get(holder.user);
    const machine = holder.machineToken === undefined ? undefined : tokens.byId.get(holder.machineToken);
    const isGone = stored === undefined || (holder.machineToken !== undefined && machine === undefined);
    if (isGone || (machine !== undefined && isExpired(machine, this.#options.clock.now()))) {
      return fail({ kind: 'bad-token' });
    }
    const credential = machine?.sha256 ?? stored.text;
    if (bearer.fingerprint(holder.user, credential) !== holder.fingerprint) return fail({ kind: 'bad-token' });
    const user = { kind: 'user', name: holder.user, scopes } as const;
    return ok(machine === undefined ? user : { ...user, machine: limitsOf(machine) });
  }

  #loadBearer(): Promise<Bearer> {
    const { dataPath, clock, onTrouble } = this.#options;
    this.#bearer ??= loadSigningKey(dataPath, onTrouble).then((key) => new Bearer(key, clock));
    return this.#bearer;
  }
}
