import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { fail, ok, type Result } from '../oci/result.ts';
import { BcryptRuns } from './bcrypt-runs.ts';
import type { Clock } from './clock.ts';
import type { Htpasswd, StoredHash } from './htpasswd.ts';
import { limits } from './limits.ts';
import { clientOf } from './network.ts';
import { WrongPasswords } from './wrong-passwords.ts';

export type PasswordFailure =
  | { readonly kind: 'bad-credentials' }
  | { readonly kind: 'too-many-attempts'; readonly retryAfterSeconds: number }
  /** Too many passwords are being checked at this moment. */
  | { readonly kind: 'busy'; readonly retryAfterSeconds: number };

export interface Attempt {
  readonly user: string;
  readonly password: string;
  /** Of the client, as its socket has it. */
  readonly address: string;
}

/** The hash that the password proved. */
type Outcome = Result<StoredHash, PasswordFailure>;

const badCredentials = fail({ kind: 'bad-credentials' } as const);

/** How long it takes to refuse someone must not tell whether the user exists when there are none to compare with. */
const costWithoutUsers = limits.bcryptCost;

/**
 * Checks passwords, and remembers what came of it. Whoever is not known costs as much as whoever is, and is remembered alike,
 * so neither the time nor a later answer tells who exists.
 */
export class Passwords {
  readonly #clock: Clock;
  readonly #runs = new BcryptRuns();
  readonly #wrong: WrongPasswords;
  /** Of this process only: what is remembered of passwords is of no use to anybody else. */
  readonly #secret = randomBytes(32);
  /** Until when, by keyed hash. Apart, so that a flood of wrong ones does not drive out the right ones. */
  readonly #verified = new LRUCache<string, number>({ max: limits.maxRememberedPairs });
  readonly #failed = new LRUCache<string, number>({ max: limits.maxRememberedPairs });
  readonly #underWay = new Map<string, Promise<Outcome>>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wrong = new WrongPasswords(clock);
  }

  check(attempt: Attempt, { users }: Htpasswd): Promise<Outcome> {
    const stored = users.get(attempt.user);
    // The stored hash is in it, so a changed password makes what is remembered worthless.
    const key = this.#keyOf(attempt.user, attempt.password, stored?.text ?? '');
    if (stored !== undefined && this.#remembers(this.#verified, key, limits.verifiedTtlMs)) {
      return Promise.resolve(ok(stored));
    }
    if (this.#remembers(this.#failed, key, limits.failedTtlMs)) return Promise.resolve(badCredentials);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const check = this.#run(attempt, stored, users, key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, check);
    return check;
  }

  async #run(
    { user, password, address }: Attempt,
    stored: StoredHash | undefined,
    users: Htpasswd['users'],
    key: string,
  ): Promise<Outcome> {
    const client = clientOf(address);
    const pair = JSON.stringify([user, client]);
    const waitSeconds = stored === undefined ? undefined : this.#wrong.begin(pair, key);
    if (waitSeconds !== undefined) return fail({ kind: 'too-many-attempts', retryAfterSeconds: waitSeconds });

    const hash = stored?.text ?? (await this.#runs.dummy(commonCost(users)));
    const matches = await this.#runs.matches(password, hash, client);
    if (stored !== undefined && matches !== false) this.#wrong.takeBack(pair, key);
    if (matches === 'busy') return fail({ kind: 'busy', retryAfterSeconds: limits.busyRetrySeconds });
    if (matches && stored !== undefined) {
      this.#verified.set(key, this.#clock.now() + limits.verifiedTtlMs);
      return ok(stored);
    }
    this.#failed.set(key, this.#clock.now() + limits.failedTtlMs);
    return badCredentials;
  }

  /** A clock that was set back must not make it last. */
  #remembers(outcomes: LRUCache<string, number>, key: string, ttlMs: number): boolean {
    const until = outcomes.get(key);
    const leftMs = (until ?? 0) - this.#clock.now();
    return leftMs > 0 && leftMs <= ttlMs;
  }

  #keyOf(...parts: readonly string[]): string {
    return createHmac('sha256', this.#secret).update(JSON.stringify(parts)).digest('base64');
  }
}

/** That of most users: who does not exist then looks like most who do. */
function commonCost(users: Htpasswd['users']): number {
  const counts = new Map<number, number>();
  for (const { cost } of users.values()) counts.set(cost, (counts.get(cost) ?? 0) + 1);
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0] ?? costWithoutUsers;
}
