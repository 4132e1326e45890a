import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { AccessControl, type AccessSettings } from '../../src/access/access-control.ts';

/** What bcrypt allows at the least, so that tests are quick. */
const testCost = 4;

export const lan = '10.0.0.7';

export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** A data directory with users in it, and the access control over it, with a clock that is turned by hand. */
export class AccessSite implements AsyncDisposable {
  readonly root: string;
  readonly troubles: string[] = [];
  readonly clock = { now: () => this.nowMs };
  nowMs = Date.parse('2026-11-21T12:00:00Z');

  private constructor(root: string) {
    this.root = root;
  }

  static async prepare(users: Readonly<Record<string, string>> = {}): Promise<AccessSite> {
    const site = new AccessSite(await mkdtemp(join(tmpdir(), 'entrepot-access-')));
    if (Object.keys(users).length > 0) await site.writeUsers(users);
    return site;
  }

  get htpasswd(): string {
    return join(this.root, 'htpasswd');
  }

  async writeUsers(users: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(users).map(async ([name, password]) => `${name}:${await hash(password, testCost)}\n`);
    await writeFile(this.htpasswd, (await Promise.all(lines)).join(''));
    await chmod(this.htpasswd, 0o600);
  }

  open(settings: Partial<AccessSettings> = {}): Promise<AccessControl> {
    return AccessControl.open({
      dataPath: this.root,
      settings: { anonymous: { pull: true, push: false }, rules: [], defaultRegistry: 'docker.io', ...settings },
      clock: this.clock,
      onTrouble: (message) => this.troubles.push(message.replaceAll(`${this.root}/`, '')),
    });
  }

  pass(milliseconds: number): void {
    this.nowMs += milliseconds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}
