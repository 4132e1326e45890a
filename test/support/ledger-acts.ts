import fc from 'fast-check';
import type { Ledger } from '../../src/mirror/ports.ts';
import type { Tag } from '../../src/oci/reference.ts';
import type { Repository } from '../../src/oci/repository-name.ts';

/** One thing that can be done with a ledger, for property tests. */
export type Act = (ledger: Ledger) => Promise<unknown>;

interface Words {
  readonly repository: fc.Arbitrary<Repository>;
  readonly tag: fc.Arbitrary<Tag>;
  readonly pattern: fc.Arbitrary<string>;
  readonly at: fc.Arbitrary<number>;
}

/** Those that need no content to be there. */
export function actsWithoutContent({ repository, tag, pattern, at }: Words): fc.Arbitrary<Act> {
  const acts: readonly fc.Arbitrary<Act>[] = [
    fc.tuple(repository, tag).map(
      ([repository, tag]) =>
        (ledger) =>
          ledger.removeTag(repository, tag),
    ),
    fc.tuple(repository, tag).map(
      ([repository, tag]) =>
        (ledger) =>
          ledger.settleTag(repository, tag),
    ),
    fc.tuple(repository, fc.boolean(), at).map(
      ([repository, isPublic, at]) =>
        (ledger) =>
          ledger.setVisibility(repository, isPublic, at),
    ),
    fc.tuple(pattern, at).map(
      ([pattern, at]) =>
        (ledger) =>
          ledger.addPin(pattern, at),
    ),
    pattern.map((pattern) => (ledger) => ledger.removePin(pattern)),
  ];
  return fc.oneof(...acts);
}
