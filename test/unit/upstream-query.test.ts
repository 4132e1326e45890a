import { expect, test } from 'vitest';
import { parseSearchTerm } from '../../src/mirror/search-term.ts';
import { upstreamQuery } from '../../src/mirror/upstream-query.ts';
import { parsePattern } from '../../src/oci/repository-pattern.ts';

/** What is sent to Docker Hub for the term, and of which names that tells. */
function queryOf(text: string, patterns: readonly string[] = [], defaultRegistry: string | undefined = 'docker.io') {
  const term = parseSearchTerm(text);
  if (!term.ok) throw new Error(term.failure.reason);
  const privatePatterns = patterns.map((pattern) => {
    const parsed = parsePattern(pattern);
    if (!parsed.ok) throw new Error(parsed.failure.reason);
    return parsed.value;
  });
  return upstreamQuery(term.value, {
    registries: new Set(['docker.io', 'ghcr.io']),
    defaultRegistry,
    privatePatterns,
  });
}

test.each([
  ['httpd', 'httpd'],
  [' HTTPD ', 'httpd'],
  ['library/httpd', 'httpd'],
  ['docker.io/library/httpd', 'httpd'],
  ['registry-1.docker.io/bitnami/apache', 'bitnami/apache'],
  ['apache http server', 'apache http server'],
])('%s is sent as %s', (term, sent) => {
  expect(queryOf(term, ['team/**'])?.text).toBe(sent);
});

test.each(['', '  ', 'library/', 'docker.io/', 'localhost/x', 'quay.io/x/y', 'lan:5000/x'])(
  '%j is not sent',
  (term) => {
    expect(queryOf(term)).toBeUndefined();
  },
);

test('what another configured registry has goes to that one only', () => {
  expect(queryOf('ghcr.io/owner/app')?.registry).toBe('ghcr.io');
  expect(queryOf('owner/app', [], 'ghcr.io')?.registry).toBe('ghcr.io');
  expect(queryOf('docker.io/owner/app', [], 'ghcr.io')?.registry).toBe('docker.io');
});

test.each([
  ['local/**', 'localstack', true],
  ['local/**', 'my/localhero', true],
  ['local/**', 'local/stack', false],
  ['local/**', 'my-local-stack', false],
  ['team/secret-*', 'team', false],
  ['team/secret-*', 'other/secretary', true],
  ['*', 'bitnami/apache', true],
  ['*', 'apache', false],
  ['**', 'bitnami/apache', false],
])('with %s private, %s is sent: %s', (pattern, term, isSent) => {
  expect(queryOf(term, [pattern]) !== undefined).toBe(isSent);
});

test.each(['secret', 'secret-project', 'team/secret-project', 'secrets'])(
  'a query for secret tells of the name %s',
  (name) => {
    expect(queryOf('secret')?.tellsOf(name)).toBe(true);
    expect(queryOf('public')?.tellsOf(name)).toBe(false);
  },
);

test('a query tells of a name that is a part of it in whole words', () => {
  expect(queryOf('my-test-runner')?.tellsOf('test')).toBe(true);
  expect(queryOf('testcontainers')?.tellsOf('test')).toBe(false);
  expect(queryOf('contest test')?.tellsOf('test')).toBe(true);
});
