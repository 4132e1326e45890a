import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseChallenge } from '../../src/upstream/challenge.ts';
import { mayReceiveCredentials, parseRealm } from '../../src/upstream/credentials.ts';

const hub = {
  scheme: 'bearer',
  realm: 'https://auth.docker.io/token',
  service: 'registry.docker.io',
  scope: 'repository:library/alpine:pull',
};

describe('WWW-Authenticate', () => {
  test.each([
    ['as Docker Hub writes it', [`Bearer realm="${hub.realm}",service="${hub.service}",scope="${hub.scope}"`]],
    [
      'with any case and blanks',
      [`  BEARER  Realm = "${hub.realm}" ,\tSERVICE="${hub.service}" , Scope=  "${hub.scope}",error="invalid_token"`],
    ],
    ['unquoted', [`Bearer realm=${hub.realm},service=${hub.service},scope=${hub.scope}`]],
    [
      'behind Basic in one header',
      [`Basic realm="a, Bearer b", Bearer realm="${hub.realm}",service="${hub.service}",scope="${hub.scope}"`],
    ],
    ['in a second header', ['Negotiate', `Bearer realm="${hub.realm}",service="${hub.service}",scope="${hub.scope}"`]],
    [
      'behind a scheme with a token68',
      [`NTLM TlRMTVNTUAAB==, Bearer realm="${hub.realm}",service="${hub.service}",scope="${hub.scope}"`],
    ],
  ])('is read %s', (_, headers) => {
    expect(chooseChallenge(headers)).toEqual(hub);
  });

  test('keeps commas, escapes and several actions inside a quoted string', () => {
    const headers = ['Bearer realm="https://a.test/t?x=1,2",service="say \\"hi\\"",scope="repository:a/b:pull,push"'];
    expect(chooseChallenge(headers)).toEqual({
      scheme: 'bearer',
      realm: 'https://a.test/t?x=1,2',
      service: 'say "hi"',
      scope: 'repository:a/b:pull,push',
    });
  });

  test('falls back to Basic', () => {
    expect(chooseChallenge(['Negotiate, Basic realm="x"'])).toEqual({ scheme: 'basic' });
  });

  test('without a scheme that we know gives nothing', () => {
    expect(chooseChallenge([])).toBeUndefined();
    expect(chooseChallenge(['Digest realm="x", nonce="y"', 'Bearer service="no realm"', '"""', '=,='])).toBeUndefined();
  });

  test('of any shape neither throws nor takes long', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), (header) => {
        chooseChallenge([header, `Bearer ${header}`, `Bearer realm="${header}`]);
      }),
    );
    const startedAt = performance.now();
    chooseChallenge([
      ' '.repeat(16_000),
      `Bearer realm="${'\\a'.repeat(8_000)}`,
      ', '.repeat(8_000),
      'a '.repeat(8_000),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe('the configured account', () => {
  test.each([
    ['the endpoint itself', 'https://r.test/token', 'https://r.test', 'r.test', true],
    ['another port of it', 'https://r.test:5001/token', 'https://r.test:5000', 'r.test:5000', true],
    ['from http to https', 'https://r.test/token', 'http://r.test', 'r.test', true],
    ['from https to http', 'http://r.test/token', 'https://r.test', 'r.test', false],
    ['another host', 'https://evil.test/token', 'https://r.test', 'r.test', false],
    ['a host below it', 'https://auth.r.test/token', 'https://r.test', 'r.test', false],
    ['a host it is the start of', 'https://r.test.evil.test/token', 'https://r.test', 'r.test', false],
    ['Docker Hub', 'https://auth.docker.io/token', 'https://registry-1.docker.io', 'docker.io', true],
    ['Docker Hub for another registry', 'https://auth.docker.io/token', 'https://r.test', 'r.test', false],
    ['Docker Hub without TLS', 'http://auth.docker.io/token', 'http://registry-1.docker.io', 'docker.io', false],
    ['Docker Hub on another port', 'https://auth.docker.io:8443/t', 'https://registry-1.docker.io', 'docker.io', false],
    [
      'a stranger for Docker Hub',
      'https://auth.docker.io.evil.test/',
      'https://registry-1.docker.io',
      'docker.io',
      false,
    ],
  ])('goes to %s or not', (_, realm, endpoint, registry, expected) => {
    expect(mayReceiveCredentials(new URL(realm), new URL(endpoint), registry)).toBe(expected);
  });

  test('is never asked for at a realm that is no plain http URL', () => {
    expect(parseRealm('file:///etc/passwd')).toBeUndefined();
    expect(parseRealm('https://user:secret@r.test/')).toBeUndefined();
    expect(parseRealm('/token')).toBeUndefined();
    expect(parseRealm('https://r.test/token')?.href).toBe('https://r.test/token');
  });
});
