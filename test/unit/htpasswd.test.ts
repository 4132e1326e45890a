import { describe, expect, test } from 'vitest';
import { parseHtpasswd, withoutUser, withUser } from '../../src/access/htpasswd.ts';
import { parseUserName } from '../../src/access/user-name.ts';

const hash = (letter: string, cost = '05') => `$2${letter}$${cost}$${'x'.repeat(53)}`;

function userName(text: string) {
  const name = parseUserName(text);
  if (!name.ok) throw new Error(name.failure.reason);
  return name.value;
}

describe('the file', () => {
  test('has users with bcrypt hashes of every version, comments and empty lines', () => {
    const content = `# the team\n\nbob:${hash('y')}\r\nalice:${hash('a', '10')}\n  # nobody\ncarol:${hash('b', '12')}`;
    const parsed = parseHtpasswd(content);
    expect(parsed).toMatchObject({ ok: true, value: { unusable: [] } });
    expect(parsed.ok && [...parsed.value.users].map(([name, { cost }]) => [name, cost])).toEqual([
      ['bob', 5],
      ['alice', 10],
      ['carol', 12],
    ]);
  });

  test('says which lines let nobody in and why, without what is secret in them', () => {
    const content = [
      'md5:$apr1$salt$secret',
      'sha:{SHA}secret',
      'plain:secret',
      'secret',
      `anonymous:${hash('y')}`,
      `slow:${hash('y', '31')}`,
      `bob:${hash('y')}`,
      `bob:${hash('b')}`,
      `short:$2y$05$secret`,
    ];
    const parsed = parseHtpasswd(content.map((line) => `${line}\n`).join(''));
    if (!parsed.ok) throw new Error(parsed.failure);
    expect([...parsed.value.users.keys()]).toEqual(['bob']);
    expect(parsed.value.unusable.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6, 8, 9]);
    expect(JSON.stringify(parsed.value.unusable)).not.toContain('secret');
  });

  test('that ends within a line is still being written', () => {
    const whole = `bob:${hash('y')}\nalice:${hash('y')}\n`;
    for (let length = 0; length <= whole.length; length++) {
      const parsed = parseHtpasswd(whole.slice(0, length));
      // Never somebody with a hash that is cut.
      if (parsed.ok) expect(parsed.value.unusable).toEqual([]);
    }
    expect(parseHtpasswd(whole.slice(0, 100)).ok).toBe(false);
  });
});

describe('editing', () => {
  const content = `# the team\nold:{SHA}x\nbob:1\n\nalice:2\nbob:3`;

  test('changes the one line, and leaves all others as they are', () => {
    expect(withUser(content, userName('bob'), 'new')).toBe('# the team\nold:{SHA}x\nbob:new\n\nalice:2\n');
    expect(withUser(content, userName('carol'), 'new')).toBe(`${content}\ncarol:new\n`);
    expect(withUser('', userName('carol'), 'new')).toBe('carol:new\n');
  });

  test('removes the user, also one who could not log in', () => {
    expect(withoutUser(content, 'bob')).toBe('# the team\nold:{SHA}x\n\nalice:2\n');
    expect(withoutUser(content, 'old')).toBe('# the team\nbob:1\n\nalice:2\nbob:3\n');
    expect(withoutUser(content, 'carol')).toBeUndefined();
    expect(withoutUser(content, '# the team\nold')).toBeUndefined();
  });
});
