import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AccessControl } from '../../src/access/access-control.ts';
import { limits } from '../../src/access/limits.ts';
import { run } from '../../src/cli/run.ts';
import { basic, lan } from '../support/access-site.ts';

// The commands are what is tested here; they need no service.
vi.mock('../../src/compose.ts', () => ({ startService: vi.fn(), StartupError: class extends Error {} }));

let directory: string;
let data: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-user-'));
  data = join(directory, 'data');
  await writeFile(join(directory, 'mirror.config.json'), '{}');
});

afterEach(() => rm(directory, { recursive: true }));

interface Given {
  /** Whole, on standard input. */
  readonly input?: string;
  /** Typed on a terminal, each as soon as the prompt before it is there. */
  readonly typed?: readonly string[];
}

async function entrepot(argv: readonly string[], { input = '', typed }: Given = {}) {
  const [stdin, out, err] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const stop = new AbortController();
  if (typed === undefined) stdin.end(input);
  else {
    const left = [...typed];
    err.on('data', (chunk: Buffer) => {
      if (!chunk.toString().endsWith(': ')) return;
      const line = left.shift();
      if (line === undefined) stop.abort();
      else stdin.write(line);
    });
  }
  const said = Promise.all([text(out), text(err)]);
  const code = await run([...argv, '--config', join(directory, 'mirror.config.json')], {
    stdin: Object.assign(stdin, { isTTY: typed !== undefined }),
    stdout: out,
    stderr: err,
    env: {},
    stop: stop.signal,
    onReload: () => undefined,
  });
  out.end();
  err.end();
  const [stdout, stderr] = await said;
  return { code, stdout, stderr };
}

/** Whether a daemon on the directory would let him in. */
async function login(user: string, password: string): Promise<boolean> {
  const access = await AccessControl.open({
    dataPath: data,
    settings: { anonymous: { pull: true, push: false }, rules: [], defaultRegistry: null },
    clock: { now: () => Date.now() },
    onTrouble: (message) => {
      throw new Error(message);
    },
  });
  const identity = await access.identify(basic(user, password), lan);
  return access.hasUsers && identity.ok;
}

describe('user add', () => {
  test.each(['secret', 'secret\n', 'secret\r\nand more'])(
    'takes the password from %j on standard input',
    async (input) => {
      expect(await entrepot(['user', 'add', 'bob'], { input })).toEqual({
        code: 0,
        stdout: '',
        stderr: 'entrepot: added bob\n',
      });
      expect(await login('bob', 'secret')).toBe(true);
      expect(await login('bob', 'secret\n')).toBe(false);
      const file = join(data, 'htpasswd');
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect(await readFile(file, 'utf8')).toMatch(/^bob:\$2b\$12\$[./A-Za-z0-9]{53}\n$/);
    },
  );

  test('asks twice on a terminal, and shows nothing of what is typed', async () => {
    expect(await entrepot(['user', 'add', 'bob'], { typed: ['secret\r', 'secret\r'] })).toEqual({
      code: 0,
      stdout: '',
      stderr: 'New password for bob: \nThe same again: \nentrepot: added bob\n',
    });
    expect(await login('bob', 'secret')).toBe(true);
  });

  test.each([
    [['secret\r', 'secert\r'], 'the two were not the same; nothing was changed'],
    [['sec\u0003'], 'nothing was changed'],
    [[], 'nothing was changed'],
    [['secret\r'], 'nothing was changed'],
  ])('typed %j changes nothing', async (typed, sentence) => {
    const { code, stderr } = await entrepot(['user', 'add', 'bob'], { typed });
    expect(code).toBe(1);
    expect(stderr).toContain(`entrepot: ${sentence}\n`);
    await expect(stat(data)).rejects.toThrow('ENOENT');
  });

  test('changes the password of a user that exists, and keeps what else is in the file', async () => {
    await entrepot(['user', 'add', 'bob'], { input: 'old' });
    const file = join(data, 'htpasswd');
    await writeFile(file, `# the team\nold:{SHA}x\n${await readFile(file, 'utf8')}`);
    const { stderr } = await entrepot(['user', 'add', 'bob'], { input: 'new' });
    expect(stderr).toBe('entrepot: changed the password of bob\n');
    expect(await readFile(file, 'utf8')).toMatch(/^# the team\nold:\{SHA\}x\nbob:\$2b\$12\$\S{53}\n$/);
  });

  test('writes the file that the configuration names', async () => {
    await writeFile(join(directory, 'mirror.config.json'), '{ "access": { "htpasswd": "users/file" } }');
    await entrepot(['user', 'add', 'bob'], { input: 'secret' });
    expect(await readFile(join(directory, 'users/file'), 'utf8')).toMatch(/^bob:/);
  });

  test.each([
    ['', 'an empty password is none; nothing was changed'],
    ['\nsecret', 'an empty password is none; nothing was changed'],
    [
      'x'.repeat(limits.maxPasswordBytes + 1),
      'bcrypt looks at no more than 72 bytes of a password: take a shorter one',
    ],
    ['ä'.repeat(37), 'bcrypt looks at no more than 72 bytes of a password: take a shorter one'],
  ])('%j is no password', async (input, sentence) => {
    expect(await entrepot(['user', 'add', 'bob'], { input })).toEqual({
      code: 2,
      stdout: '',
      stderr: `entrepot: ${sentence}\n`,
    });
  });

  test('reads no more than a password from standard input', async () => {
    expect(await entrepot(['user', 'add', 'bob'], { input: 'x'.repeat(100_000) })).toMatchObject({ code: 1 });
  });
});

describe('user ls and rm', () => {
  test('list and remove users', async () => {
    expect(await entrepot(['user', 'ls'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'entrepot: there are no users yet (add one with "entrepot user add NAME")\n',
    });
    await entrepot(['user', 'add', 'bob'], { input: 'secret' });
    await entrepot(['user', 'add', 'alice'], { input: 'secret' });
    await entrepot(['user', 'token', 'create', 'bob', '--name', 'ci']);
    expect((await entrepot(['user', 'ls'])).stdout).toBe('USER   TOKENS\nbob    1\nalice  0\n');
    expect(JSON.parse((await entrepot(['user', 'ls', '--json'])).stdout)).toEqual([
      { name: 'bob', tokens: 1 },
      { name: 'alice', tokens: 0 },
    ]);
    expect(await entrepot(['user', 'rm', 'bob'])).toMatchObject({ code: 0, stderr: 'entrepot: removed user "bob"\n' });
    expect(await entrepot(['user', 'rm', 'bob'])).toMatchObject({
      code: 1,
      stderr: 'entrepot: there is no user "bob"\n',
    });
    expect((await entrepot(['user', 'token', 'ls', '--json'])).stdout).toBe('[]\n');
    expect([await login('bob', 'secret'), await login('alice', 'secret')]).toEqual([false, true]);
  });

  test('name the lines that let nobody in', async () => {
    await entrepot(['user', 'add', 'bob'], { input: 'secret' });
    await writeFile(join(data, 'htpasswd'), 'old:{SHA}secret\n');
    expect((await entrepot(['user', 'ls', '--json'])).stderr).toBe(
      'entrepot: line 1 of the file lets nobody in: its hash is not bcrypt (htpasswd -B makes such)\n',
    );
    expect(await entrepot(['user', 'rm', 'old'])).toMatchObject({ code: 0 });
  });
});

describe('user token', () => {
  beforeEach(() => entrepot(['user', 'add', 'bob'], { input: 'secret' }));

  test('create prints the token, and nothing else, on standard output', async () => {
    const { code, stdout, stderr } = await entrepot(['user', 'token', 'create', 'bob', '--name', 'ci']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ent_[\w-]{43}\n$/);
    expect(stderr).toMatch(/^entrepot: token [0-9a-f]{8}, to be used as the password of bob; it is shown only now:\n$/);
    expect(await login('bob', stdout.trim())).toBe(true);
  });

  test('ls tells what each is for and what it may do, rm ends it', async () => {
    const bounds = ['--repository', 'team/**', '--repository', 'docker.io/library/*', '--action', 'pull'];
    const create = ['user', 'token', 'create', 'bob', '--name', 'the ci', '--expires', '90d', ...bounds, '--json'];
    const made = JSON.parse((await entrepot(create)).stdout) as { id: string; secret: string };
    expect(made).toMatchObject({
      user: 'bob',
      name: 'the ci',
      actions: ['pull'],
      repositories: ['team/**', 'docker.io/library/*'],
    });
    const listed = await entrepot(['user', 'token', 'ls']);
    expect(listed.stdout).toMatch(/^ID +USER +NAME +ACTIONS +REPOSITORIES +CREATED +EXPIRES\n/);
    expect(listed.stdout).toContain(`${made.id}  bob   the ci  pull     team/**,docker.io/library/*  `);
    const { secret, ...rest } = made;
    expect(JSON.parse((await entrepot(['user', 'token', 'ls', 'bob', '--json'])).stdout)).toEqual([rest]);
    expect((await entrepot(['user', 'token', 'ls', 'alice'])).stderr).toBe('entrepot: there are no tokens\n');
    expect(await login('bob', secret)).toBe(true);
    expect(await entrepot(['user', 'token', 'rm', made.id])).toMatchObject({ code: 0 });
    expect(await entrepot(['user', 'token', 'rm', made.id])).toMatchObject({
      code: 1,
      stderr: `entrepot: there is no token "${made.id}"\n`,
    });
    expect(await login('bob', secret)).toBe(false);
  });

  test('create needs a user', async () => {
    expect(await entrepot(['user', 'token', 'create', 'alice', '--name', 'ci'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'entrepot: there is no user "alice"\n',
    });
  });
});

test.each([
  [['user'], 'it is user add, user rm, user ls or user token'],
  [['user', 'remove', 'bob'], 'unknown user command "remove": it is user add, user rm, user ls or user token'],
  [['user', 'token'], 'it is user token create, user token ls or user token rm'],
  [['user', 'add'], 'user add needs a user name'],
  [
    ['user', 'add', 'bob', 'secret'],
    'user add takes the password from a prompt or standard input, never as an argument',
  ],
  [['user', 'add', 'anonymous'], '"anonymous": "anonymous" means everyone in rules'],
  [['user', 'add', 'net:10.0.0.0/8'], '"net:10.0.0.0/8": "net:" names a client network in rules'],
  [['user', 'add', 'bob', '--password', 'x'], 'user has no option --password'],
  [['user', 'add', 'bob', '--json'], 'user has no option --json'],
  [['user', 'ls', 'bob'], 'user ls takes no argument "bob"'],
  [['user', 'token', 'rm'], 'user token rm needs the ID of a token'],
  [['user', 'token', 'create', 'bob'], 'user token create needs --name, which says what the token is for'],
  [['user', 'token', 'create', 'bob', '--name='], 'the option --name needs a value'],
  [['user', 'token', 'create', 'bob', '--nam', 'x'], 'user has no option --nam; did you mean "--name"?'],
  [
    ['user', 'token', 'create', 'bob', '--name', 'x', '--expires', 'soon'],
    '--expires "soon" is no duration such as "90d": the units are ms, s, m, h, d',
  ],
  [
    ['user', 'token', 'create', 'bob', '--name', 'x', '--expires', '99999999d'],
    '--expires is at most a century; leave it out for no end',
  ],
  [
    ['user', 'token', 'create', 'bob', '--name', 'x', '--repository', 'Team'],
    '"Team" is no pattern: a repository name has only lower-case letters, digits and . _ - /',
  ],
  [
    ['user', 'token', 'create', 'bob', '--name', 'x', '--action', 'pull,push'],
    '--action is pull, push or delete, not "pull,push"',
  ],
])('%j is refused with one sentence', async (argv, sentence) => {
  expect(await entrepot(argv)).toEqual({
    code: 2,
    stdout: '',
    stderr: `entrepot: ${sentence} (see entrepot --help)\n`,
  });
});
