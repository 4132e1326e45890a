import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAuthorization } from '../../src/access/authorization.ts';
import { parseHtpasswd, withoutUser, withUser } from '../../src/access/htpasswd.ts';
import { limits } from '../../src/access/limits.ts';
import { clientOf } from '../../src/access/network.ts';
import { parseScopes, scopeText } from '../../src/access/scope.ts';
import { parseUserName } from '../../src/access/user-name.ts';
import { parseAddressRange, plainAddress } from '../../src/oci/address-range.ts';

const anything = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 100 }),
  fc.string({
    unit: fc.constantFrom(...Array.from('Basic erpul,:/*%$.=# \n\u0000'), '::ffff:', '10.0.0.1', '$2b$05$'),
  }),
);

describe('what a client sends never throws', () => {
  test('in an Authorization header', () => {
    fc.assert(fc.property(anything, (text) => void parseAuthorization(text)));
    fc.assert(fc.property(anything, (text) => void parseAuthorization(`Basic ${text}`)));
    fc.assert(fc.property(fc.base64String(), (text) => void parseAuthorization(`basic ${text}`)));
    for (const text of ['Basic '.repeat(100_000), ' '.repeat(1_000_000), `Basic ${'='.repeat(1_000_000)}`]) {
      const began = performance.now();
      parseAuthorization(text);
      expect(performance.now() - began).toBeLessThan(500);
    }
  });

  test('in a scope, and what is understood of it is understood again', () => {
    fc.assert(
      fc.property(fc.array(anything), (texts) => {
        const parsed = parseScopes(texts);
        if (!parsed.ok) return;
        const again = parseScopes(parsed.value.map(scopeText));
        const rights = (scopes: typeof parsed.value) =>
          scopes.map((scope) => (scope.type === 'catalog' ? scope : { name: scope.name, actions: scope.actions }));
        expect(again.ok && rights(again.value)).toEqual(rights(parsed.value));
      }),
    );
  });

  test('as its address', () => {
    const address = fc.oneof(anything, fc.ipV4(), fc.ipV6());
    const network = parseAddressRange('10.0.0.0/8');
    fc.assert(
      fc.property(address, (text) => {
        plainAddress(text);
        clientOf(text);
        if (network.ok) network.value.contains(text);
        parseAddressRange(text);
      }),
    );
  });
});

test('a Basic header says what its user typed', () => {
  const user = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes(':'));
  fc.assert(
    fc.property(user, fc.string({ unit: 'grapheme' }), (name, password) => {
      const header = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
      if (header.length > limits.maxAuthorizationCharacters) return;
      expect(parseAuthorization(header)).toEqual({ ok: true, value: { kind: 'basic', user: name, password } });
    }),
  );
});

test('a name may have colons in it, and several scopes may share a parameter', () => {
  const parsed = parseScopes(['repository:mirror:5000/team/app:pull,push repository(plugin):x:*', 'repository:y:pull']);
  expect(parsed.ok && parsed.value.map(scopeText)).toEqual([
    'repository:mirror:5000/team/app:pull,push',
    'repository:x:pull,push,delete',
    'repository:y:pull',
  ]);
  expect(parseScopes(['', ' ', 'x', 'x:y', 'registry:other:*', 'repository::pull', 'repository:"\n:pull'])).toEqual({
    ok: true,
    value: [],
  });
});

test('a user who was added can log in, and leaves nothing when he is removed', () => {
  const hash = `$2b$04$${'x'.repeat(53)}`;
  fc.assert(
    fc.property(anything, anything, (content, text) => {
      const name = parseUserName(text);
      if (!name.ok) return;
      const added = withUser(content, name.value, hash);
      const parsed = parseHtpasswd(added);
      expect(parsed.ok && parsed.value.users.get(name.value)?.text).toBe(hash);
      const removed = withoutUser(added, name.value) ?? '';
      expect(parseHtpasswd(removed)).toMatchObject({ ok: true });
      expect(withoutUser(removed, name.value)).toBeUndefined();
    }),
  );
});
