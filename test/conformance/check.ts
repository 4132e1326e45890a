import type { Ability } from './abilities.ts';
import type { Registry } from './registry.ts';

/** One promise of a registry. It rejects with an AssertionError or with NoAnswer when the promise is not kept. */
export interface Check {
  readonly title: string;
  /** Without this ability the check cannot pass. */
  readonly needs: Ability | undefined;
  readonly run: (registry: Registry) => Promise<void>;
}

export interface Area {
  readonly title: string;
  readonly checks: readonly Check[];
}

export function check(title: string, run: Check['run'], needs?: Ability): Check {
  return { title, needs, run };
}
