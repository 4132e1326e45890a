import { compare, genSalt, hash } from 'bcrypt';
import { limits } from './limits.ts';

/** bcrypt itself, off the event loop, and not too much of it at once. */
export class BcryptRuns {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #perAddress = new Map<string, number>();
  /** Of one run that would be true or false, by cost. */
  readonly #dummies = new Map<number, Promise<string>>();

  /** Whether the hash is the password's; `busy` when too many others are waiting. */
  async matches(password: string, stored: string, client: string): Promise<boolean | 'busy'> {
    const own = this.#perAddress.get(client) ?? 0;
    if (this.#waiting.length >= limits.maxBcryptQueue || own >= limits.maxBcryptPerAddress) return 'busy';
    this.#perAddress.set(client, own + 1);
    try {
      await this.#turn();
      return await compare(password, asTwoB(stored));
    } finally {
      this.#passOn();
      const left = (this.#perAddress.get(client) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(client);
      else this.#perAddress.set(client, left);
    }
  }

  /** A hash of nothing, for users that do not exist: comparing with it takes as long as with a real one. */
  dummy(cost: number): Promise<string> {
    const made = this.#dummies.get(cost) ?? makeDummy(cost);
    this.#dummies.set(cost, made);
    return made;
  }

  async #turn(): Promise<void> {
    if (this.#running < limits.maxBcryptRuns) this.#running++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The turn goes to whoever waits longest, without a moment in which somebody else could take it. */
  #passOn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

/** Of a new password, which has at most {@link limits.maxPasswordBytes} bytes. */
export function hashPassword(password: string): Promise<string> {
  return hash(password, limits.bcryptCost);
}

async function makeDummy(cost: number): Promise<string> {
  const [salt, other] = await Promise.all([genSalt(cost), genSalt(cost)]);
  // 22 characters of salt; any 31 characters are a hash of something that nobody knows.
  const tail = other.slice(-22);
  return `${salt}${tail}${tail.slice(0, 9)}`;
}

/** Of the letters only `b` looks at the first 72 bytes and at nothing else, however long a password is; the library knows no `y`. */
function asTwoB(stored: string): string {
  return `$2b$${stored.slice(4)}`;
}
