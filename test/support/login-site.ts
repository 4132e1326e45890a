import { accountFiles } from '../../src/access/accounts.ts';
import type { Action } from '../../src/access/action.ts';
import { EditAccounts } from '../../src/access/edit-accounts.ts';
import type { TokenWish } from '../../src/access/machine-tokens.ts';
import { parseCanonicalPattern } from '../../src/oci/repository-pattern.ts';
import { AccessSite } from './access-site.ts';
import { Daemon, dockerIo } from './daemon.ts';
import { FakeRegistry } from './fake-registry.ts';
import { RegistryUser } from './registry-user.ts';

export const users = { ann: 'ann-password', bob: 'bob-password' };
export const account = { username: 'mirror', password: 'hub-secret' };

/** ann alone has `local/ann/**`. */
export const annsRule = { repositories: ['local/ann/**'], pull: ['ann'], push: ['ann'] };

type Settings = Readonly<Record<string, unknown>>;

/** A daemon with users, and an upstream where `team/secret` is for the daemon's account only. */
export class LoginSite implements AsyncDisposable {
  readonly origin: FakeRegistry;
  readonly files: AccessSite;
  readonly daemon: Daemon;
  readonly anonymous: RegistryUser;
  readonly ann: RegistryUser;
  readonly bob: RegistryUser;

  private constructor(origin: FakeRegistry, files: AccessSite, daemon: Daemon) {
    this.origin = origin;
    this.files = files;
    this.daemon = daemon;
    this.anonymous = new RegistryUser(daemon);
    this.ann = RegistryUser.named(daemon, 'ann', users.ann);
    this.bob = RegistryUser.named(daemon, 'bob', users.bob);
  }

  static async start(access: Settings = {}, settings: Settings = {}): Promise<LoginSite> {
    const origin = await FakeRegistry.start({
      auth: 'token',
      users: { [account.username]: account.password },
      privateRepositories: ['team/secret'],
    });
    const files = await AccessSite.prepare(users);
    const daemon = await Daemon.start(origin.url, {
      ...dockerIo(origin.url, account),
      access: { htpasswd: files.htpasswd, rules: [annsRule], ...access },
      ...settings,
    });
    return new LoginSite(origin, files, daemon);
  }

  /** One of ann's, for some repositories. The daemon may see it a second later. */
  async machineToken(repository: string, actions: readonly Action[]): Promise<string> {
    const pattern = parseCanonicalPattern(repository);
    if (!pattern.ok) throw new Error(pattern.failure.reason);
    const wish: TokenWish = {
      user: 'ann',
      name: 'ci',
      createdAt: Date.now(),
      expiresAt: undefined,
      repositories: [pattern.value],
      actions: new Set(actions),
    };
    const made = await new EditAccounts(accountFiles(this.daemon.dataPath, this.files.htpasswd)).createToken(wish);
    if (!made.ok) throw new Error(made.failure);
    return made.value.secret;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await this.files[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
  }
}
