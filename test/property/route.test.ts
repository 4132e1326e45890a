import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RoutingTable, route } from '../../src/mirror/route.ts';
import { parseRepositoryName } from '../../src/oci/repository-name.ts';
import { parsePattern, type RepositoryPattern } from '../../src/oci/repository-pattern.ts';

function pattern(text: string): RepositoryPattern {
  const parsed = parsePattern(text);
  if (!parsed.ok) throw new Error(parsed.failure.reason);
  return parsed.value;
}

const registry = fc.constantFrom('docker.io', 'ghcr.io', 'registry.lan:5000', 'quay.io', 'index.docker.io');
const table = fc
  .record<RoutingTable>({
    registries: fc.array(registry, { maxLength: 4 }).map((names) => new Set(names)),
    defaultRegistry: fc.constantFrom(undefined, 'docker.io', 'ghcr.io'),
    privatePatterns: fc
      .subarray(['*', '**', 'local/**', 'library/secret', 'library/*', 'a/*', '*/b', 'a', 'docker.io/**'])
      .map((texts) => texts.map(pattern)),
  })
  .map(
    // As a configuration has it: the default upstream is one of the upstreams.
    (table) => ({
      ...table,
      registries: new Set([
        ...table.registries,
        ...(table.defaultRegistry === undefined ? [] : [table.defaultRegistry]),
      ]),
    }),
  );

const segment = fc.constantFrom(
  ...[
    'local',
    'library',
    'secret',
    'a',
    'b',
    'docker.io',
    'index.docker.io',
    'registry-1.docker.io',
    'ghcr.io',
    'quay.io',
  ],
  ...['registry.lan:5000', '..', '.', '', 'Local', '%2F', 'x'.repeat(250), '\u0000', 'ä', 'evil.example'],
);
const name = fc.oneof(
  { weight: 5, arbitrary: fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => segments.join('/')) },
  fc.string({ unit: 'binary' }),
);
const ns = fc.oneof(fc.constant(undefined), registry, segment, fc.string({ unit: 'binary' }));

/** The names under which the default upstream could be asked for this repository. */
function spellings(name: string): string[] {
  return name.startsWith('library/') && name.split('/').length === 2 ? [name, name.slice('library/'.length)] : [name];
}

describe('whatever a client sends', () => {
  test('the registry that is asked is one of the configured ones', () => {
    fc.assert(
      fc.property(name, ns, table, (name, ns, table) => {
        const routed = route(name, ns, table);
        if (routed.ok && routed.value.kind === 'upstream')
          expect(table.registries).toContain(routed.value.repository.registry);
      }),
      { numRuns: 10_000 },
    );
  });

  test('a name that is private on the default upstream is never asked of it', () => {
    fc.assert(
      fc.property(name, ns, table, (name, ns, table) => {
        const routed = route(name, ns, table);
        if (!routed.ok || routed.value.kind !== 'upstream') return;
        const { repository } = routed.value;
        if (repository.registry !== table.defaultRegistry) return;
        expect(table.privatePatterns.filter((pattern) => pattern.matches(repository.name))).toEqual([]);
      }),
      { numRuns: 10_000 },
    );
  });

  test('what is hosted is private indeed', () => {
    fc.assert(
      fc.property(name, ns, table, (name, ns, table) => {
        const routed = route(name, ns, table);
        if (!routed.ok || routed.value.kind !== 'hosted') return;
        const names = spellings(routed.value.name);
        expect(table.privatePatterns.some((pattern) => names.some((name) => pattern.matches(name)))).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  test('the canonical name is a valid one', () => {
    fc.assert(
      fc.property(name, ns, table, (name, ns, table) => {
        const routed = route(name, ns, table);
        if (!routed.ok) {
          expect(routed.failure.reason.length).toBeLessThan(1_000);
          return;
        }
        const canonical = routed.value.kind === 'hosted' ? routed.value.name : routed.value.repository.name;
        expect(parseRepositoryName(canonical)).toEqual({ ok: true, value: canonical });
      }),
      { numRuns: 10_000 },
    );
  });

  test('a canonical name, asked for by its registry, is routed to itself', () => {
    fc.assert(
      fc.property(name, ns, table, (name, ns, table) => {
        const routed = route(name, ns, table);
        if (!routed.ok || routed.value.kind !== 'upstream') return;
        const { repository } = routed.value;
        // Two registries in front of each other are one only for the second that is asked.
        if (table.registries.has(repository.name.split('/')[0] ?? '')) return;
        if (repository.registry === 'index.docker.io') return;
        // Rule 3: a one-segment name is another one when the default upstream is named, whichever that is.
        if (repository.registry === table.defaultRegistry && !repository.name.includes('/')) return;
        expect(route(repository.name, repository.registry, table)).toEqual(routed);
        expect(route(`${repository.registry}/${repository.name}`, undefined, table)).toEqual(routed);
      }),
      { numRuns: 10_000 },
    );
  });
});
