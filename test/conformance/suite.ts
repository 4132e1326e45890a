import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ability, abilities } from './abilities.ts';
import { areas } from './areas.ts';
import type { Check } from './check.ts';
import { Client } from './client.ts';
import { NoAnswer } from './no-answer.ts';
import { Registry } from './registry.ts';
import type { Target } from './target.ts';

/**
 * Registers the whole suite against one registry. A check that needs what the registry `lacks` must fail: so the list
 * stays honest, and shrinks when the registry learns.
 */
export function conformance(name: string, start: () => Promise<Target>, lacks: readonly Ability[] = []): void {
  const tally = new Tally(name, lacks);

  describe(`conformance of ${name}`, () => {
    let target: Target | undefined;
    let client: Client | undefined;
    beforeAll(async () => {
      target = await start();
      client = new Client(target);
    });
    afterAll(async () => {
      await client?.[Symbol.asyncDispose]();
      await target?.[Symbol.asyncDispose]();
      console.log(tally.line);
    });

    async function run(check: Check): Promise<void> {
      if (target === undefined || client === undefined) throw new Error('the registry was not started');
      client.forget();
      try {
        await check.run(new Registry(client, target.namespace));
      } catch (error) {
        if (error instanceof Error) error.message += `\n${client.transcript}`;
        throw error;
      }
    }

    for (const { title, checks } of areas) {
      describe(title, () => {
        for (const check of checks) {
          if (check.needs !== undefined && lacks.includes(check.needs)) {
            const ability = check.needs;
            test(`lacks ${ability}: ${check.title}`, async () => {
              expect(await brokenPromise(run(check)), `${name} has it after all: ${abilities[ability]}`).toBeDefined();
              tally.lacking(ability);
            });
          } else {
            test(check.title, async () => {
              await run(check);
              tally.passed += 1;
            });
          }
        }
      });
    }

    test('whatever is said to be lacking is looked for', () => {
      expect(
        lacks.filter((ability) => !areas.some(({ checks }) => checks.some((one) => one.needs === ability))),
      ).toEqual([]);
    });
  });
}

/** The broken promise, if it was one; any other error is a fault of the harness and passes through. */
async function brokenPromise(running: Promise<void>): Promise<Error | undefined> {
  try {
    await running;
    return undefined;
  } catch (error) {
    if (error instanceof NoAnswer || (error instanceof Error && error.name === 'AssertionError')) return error;
    throw error;
  }
}

/** What came out, for the closing line. */
class Tally {
  passed = 0;
  readonly #name: string;
  readonly #lacks: Map<Ability, number>;
  readonly #all = areas.flatMap(({ checks }) => checks).length;

  constructor(name: string, lacks: readonly Ability[]) {
    this.#name = name;
    this.#lacks = new Map(lacks.map((ability) => [ability, 0]));
  }

  lacking(ability: Ability): void {
    this.#lacks.set(ability, (this.#lacks.get(ability) ?? 0) + 1);
  }

  get line(): string {
    const lacking = [...this.#lacks.values()].reduce((sum, count) => sum + count, 0);
    const listed = [...this.#lacks].map(([ability, count]) => `${ability} ${count}`).join(', ');
    const failed = this.#all - this.passed - lacking;
    const details = listed === '' ? '' : ` (${listed})`;
    return `conformance of ${this.#name}: ${this.passed} passed, ${lacking} lacking${details}, ${failed} failed or not run, of ${this.#all}`;
  }
}
