import { describe, expect, test } from 'vitest';
import { type RoutingTable, route } from '../../src/mirror/route.ts';
import { parsePattern } from '../../src/oci/repository-pattern.ts';

function tableOf({
  registries = ['docker.io', 'ghcr.io', 'registry.lan:5000'],
  defaultRegistry = 'docker.io',
  namespaces = ['*', 'local/**'],
}: {
  readonly registries?: readonly string[];
  readonly defaultRegistry?: string | null;
  readonly namespaces?: readonly string[];
} = {}): RoutingTable {
  const privatePatterns = namespaces.map((text) => {
    const pattern = parsePattern(text);
    if (!pattern.ok) throw new Error(pattern.failure.reason);
    return pattern.value;
  });
  return { registries: new Set(registries), defaultRegistry: defaultRegistry ?? undefined, privatePatterns };
}

const table = tableOf();

/** `registry name` of an upstream repository, `hosted name`, or the kind of the failure. */
function routed(name: string, ns?: string, by: RoutingTable = table): string {
  const result = route(name, ns, by);
  if (!result.ok) return result.failure.kind;
  if (result.value.kind === 'hosted') return `hosted ${result.value.name}`;
  return `${result.value.repository.registry} ${result.value.repository.name}`;
}

describe('by ?ns=', () => {
  test.each([
    ['library/alpine', 'docker.io', 'docker.io library/alpine'],
    ['library/alpine', 'index.docker.io', 'docker.io library/alpine'],
    ['library/alpine', 'registry-1.docker.io', 'docker.io library/alpine'],
    ['alpine', 'docker.io', 'docker.io library/alpine'],
    ['alpine', 'registry-1.docker.io', 'docker.io library/alpine'],
    ['owner/app', 'ghcr.io', 'ghcr.io owner/app'],
    ['app', 'ghcr.io', 'ghcr.io app'],
    ['a/b/c', 'registry.lan:5000', 'registry.lan:5000 a/b/c'],
    // The query wins over the path.
    ['docker.io/library/alpine', 'ghcr.io', 'ghcr.io docker.io/library/alpine'],
    // A containerd host with a path in it names the registry twice.
    ['docker.io/library/alpine', 'docker.io', 'docker.io library/alpine'],
    ['docker.io/alpine', 'index.docker.io', 'docker.io library/alpine'],
    ['ghcr.io/owner/app', 'ghcr.io', 'ghcr.io owner/app'],
  ])('%s?ns=%s is %s', (name, ns, expected) => {
    expect(routed(name, ns)).toBe(expected);
  });

  test.each([
    'quay.io',
    'evil.example',
    '127.0.0.1:22',
    'DOCKER.IO',
    'docker.io.',
    'docker.io:443',
    'docker.io/',
    '..',
  ])('the unconfigured registry %s is unknown, and the message says which', (ns) => {
    const result = route('library/alpine', ns, table);
    expect(result).toMatchObject({ ok: false, failure: { kind: 'name-unknown' } });
    expect(result.ok ? '' : result.failure.reason).toContain(ns);
  });

  test('Docker Hub’s other names are unknown where Docker Hub is not configured', () => {
    const without = tableOf({ registries: ['ghcr.io'], defaultRegistry: 'ghcr.io' });
    for (const ns of ['docker.io', 'index.docker.io', 'registry-1.docker.io'])
      expect(routed('library/alpine', ns, without)).toBe('name-unknown');
  });

  test('a hostile ns is not repeated without end or with control characters', () => {
    const result = route('library/alpine', `evil\r\nSet-Cookie: x\u0000${'x'.repeat(100_000)}`, table);
    const reason = result.ok ? '' : result.failure.reason;
    expect(reason).not.toMatch(/[\r\n\0]/);
    expect(reason.length).toBeLessThan(300);
  });

  test.each(['__proto__', 'constructor', 'toString'])('%s is no registry', (ns) => {
    expect(routed('library/alpine', ns)).toBe('name-unknown');
    expect(routed(`${ns.toLowerCase()}/library/alpine`)).not.toMatch(new RegExp(`^${ns} `));
  });
});

describe('by the registry in front', () => {
  test.each([
    ['docker.io/library/alpine', 'docker.io library/alpine'],
    ['docker.io/alpine', 'docker.io library/alpine'],
    ['docker.io/user/image', 'docker.io user/image'],
    ['ghcr.io/owner/app', 'ghcr.io owner/app'],
    ['ghcr.io/app', 'ghcr.io app'],
    ['registry.lan:5000/team/app', 'registry.lan:5000 team/app'],
    // Only once: what is left is a name.
    ['ghcr.io/docker.io/library/alpine', 'ghcr.io docker.io/library/alpine'],
    // Not configured: part of a name on the default upstream.
    ['quay.io/owner/app', 'docker.io quay.io/owner/app'],
    // A registry alone is a name of one segment.
    ['ghcr.io', 'hosted ghcr.io'],
  ])('%s is %s', (name, expected) => {
    expect(routed(name)).toBe(expected);
  });

  test('a port that is not configured makes no registry', () => {
    expect(routed('registry.lan:5001/team/app')).toBe('name-invalid');
  });
});

describe('by the default upstream', () => {
  test.each([
    ['library/alpine', 'docker.io library/alpine'],
    ['user/image', 'docker.io user/image'],
    ['a/b/c/d', 'docker.io a/b/c/d'],
  ])('%s is %s', (name, expected) => {
    expect(routed(name)).toBe(expected);
  });

  test('a one-segment name that nobody hosts is Docker Hub’s official image', () => {
    expect(routed('alpine', undefined, tableOf({ namespaces: ['local/**'] }))).toBe('docker.io library/alpine');
  });

  test('any registry can be it, and then a registry is still named to reach Docker Hub', () => {
    const ghcr = tableOf({ defaultRegistry: 'ghcr.io' });
    expect(routed('owner/app', undefined, ghcr)).toBe('ghcr.io owner/app');
    expect(routed('owner/app', 'docker.io', ghcr)).toBe('docker.io owner/app');
    expect(routed('docker.io/alpine', undefined, ghcr)).toBe('docker.io library/alpine');
    expect(routed('local/app', undefined, ghcr)).toBe('hosted local/app');
  });

  test('where there is none, a name without a registry is unknown, or hosted', () => {
    const none = tableOf({ defaultRegistry: null });
    expect(routed('library/alpine', undefined, none)).toBe('name-unknown');
    expect(routed('test', undefined, none)).toBe('hosted test');
    expect(routed('local/app', undefined, none)).toBe('hosted local/app');
    expect(routed('docker.io/alpine', undefined, none)).toBe('docker.io library/alpine');
    expect(routed('ghcr.io/owner/app', undefined, none)).toBe('ghcr.io owner/app');
  });
});

describe('a private name is hosted', () => {
  const ways: [string, string | undefined][] = [
    ['local/app', undefined],
    ['local/app', 'docker.io'],
    ['local/app', 'index.docker.io'],
    ['local/app', 'registry-1.docker.io'],
    ['docker.io/local/app', undefined],
    ['docker.io/local/app', 'docker.io'],
    ['docker.io/local/app', 'index.docker.io'],
  ];
  test.each(ways)('%s?ns=%s', (name, ns) => {
    expect(routed(name, ns)).toBe('hosted local/app');
  });

  test('with one segment, when it stands alone', () => {
    expect(routed('test')).toBe('hosted test');
  });

  test('with as many segments as its pattern takes', () => {
    expect(routed('local/a/b/c')).toBe('hosted local/a/b/c');
    expect(routed('local')).toBe('hosted local');
    expect(routed('localhost/app')).toBe('docker.io localhost/app');
  });

  test.each<[string, string | undefined]>([
    ['secret', undefined],
    ['secret', 'docker.io'],
    ['docker.io/secret', undefined],
    ['library/secret', undefined],
    ['docker.io/library/secret', 'registry-1.docker.io'],
  ])('under library/, also where library/ is left out: %s?ns=%s', (name, ns) => {
    expect(routed(name, ns, tableOf({ namespaces: ['library/secret'] }))).toBe('hosted library/secret');
  });

  test('everything under ** is, and nothing is left for the default upstream', () => {
    const all = tableOf({ namespaces: ['**'] });
    for (const name of ['x', 'library/alpine', 'a/b/c', 'docker.io/library/alpine'])
      expect(routed(name, undefined, all)).toMatch(/^hosted /);
    // Other upstreams have names of their own.
    expect(routed('ghcr.io/owner/app', undefined, all)).toBe('ghcr.io owner/app');
  });

  test('only on the default upstream: elsewhere the same name is somebody else’s', () => {
    expect(routed('local/app', 'ghcr.io')).toBe('ghcr.io local/app');
    expect(routed('ghcr.io/local/app')).toBe('ghcr.io local/app');
  });

  test.each(['Local/app', 'LOCAL/app', 'local/App', 'local//app', '/local/app', 'local/app/', 'local/../local/app'])(
    '%s is no spelling of it but invalid',
    (name) => {
      for (const ns of [undefined, 'docker.io', 'index.docker.io']) expect(routed(name, ns)).toBe('name-invalid');
    },
  );
});

describe('what is no name is invalid', () => {
  test.each([
    '',
    '/',
    '.',
    '..',
    'docker.io/',
    'docker.io//alpine',
    'docker.io/..',
    'ghcr.io/../docker.io/local/app',
    'library%2Fapp',
    'library/app\n',
    'a'.repeat(256),
    'a/'.repeat(5_000),
  ])('%j', (name) => {
    expect(routed(name)).toBe('name-invalid');
    expect(routed(name, 'docker.io')).toBe('name-invalid');
  });

  test('the canonical name is within the bound that names have', () => {
    const name = 'a'.repeat(255);
    for (const ns of [undefined, 'docker.io'])
      expect(routed(name, ns, tableOf({ namespaces: [] }))).toBe('name-invalid');
  });
});
