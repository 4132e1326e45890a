import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { ExitCode } from '../../src/cli/io.ts';
import { run } from '../../src/cli/run.ts';
import { type Service, StartupError, startService } from '../../src/compose.ts';

// The commands are what is tested here; the service behind them has tests of its own.
vi.mock('../../src/compose.ts', () => ({
  startService: vi.fn(),
  StartupError: class extends Error {},
}));

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-cli-'));
  file = join(directory, 'mirror.config.json');
  await configure({ log: { format: 'json' } });
});

afterEach(async () => {
  vi.useRealTimers();
  vi.resetAllMocks();
  await rm(directory, { recursive: true });
});

function configure(content: unknown): Promise<void> {
  return writeFile(file, JSON.stringify(content));
}

class Running {
  readonly #stop = new AbortController();
  readonly #stdout = new PassThrough();
  readonly #stderr = new PassThrough();
  readonly #result: Promise<{ readonly code: ExitCode; readonly stdout: string; readonly stderr: string }>;
  log = '';
  hangUp: () => void = () => {
    throw new Error('nobody listens for SIGHUP');
  };

  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const stdout = text(this.#stdout);
    const stderr = text(this.#stderr);
    this.#stdout.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    const ended = run(argv, {
      stdin: new PassThrough(),
      stdout: this.#stdout,
      stderr: this.#stderr,
      env,
      stop: this.#stop.signal,
      onReload: (listener) => (this.hangUp = listener),
    }).finally(() => {
      this.#stdout.end();
      this.#stderr.end();
    });
    this.#result = (async () => ({ code: await ended, stdout: await stdout, stderr: await stderr }))();
  }

  terminate(): void {
    this.#stop.abort();
  }

  result() {
    return this.#result;
  }
}

function entrepot(argv: readonly string[], env?: Readonly<Record<string, string>>) {
  return new Running(argv, env).result();
}

describe('the command line', () => {
  test('--help and --version answer on standard output', async () => {
    for (const argv of [['--help'], ['-h'], ['serve', '--help']]) {
      expect(await entrepot(argv)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('Usage: entrepot') as string,
      });
    }
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as object;
    expect(await entrepot(['--version'])).toEqual({
      code: 0,
      stdout: `${(manifest as { version: string }).version}\n`,
      stderr: '',
    });
  });

  test.each([
    [[], 'a command is missing'],
    [['sreve'], 'unknown command "sreve"; did you mean "serve"?'],
    [['xyzzy'], 'unknown command "xyzzy"'],
    [['constructor'], 'unknown command "constructor"'],
    [['show'], 'show is not supported yet'],
    [['user'], 'it is user add, user rm, user ls or user token'],
    [['check', '--jsno'], 'check has no option --jsno; did you mean "--json"?'],
    [['serve', '--json'], 'serve has no option --json'],
    [['serve', '-x'], 'serve has no option -x'],
    [['serve', '--config'], 'the option --config needs a value'],
    [['serve', '--config='], 'the option --config needs a value'],
    [['check', '--json=yes'], 'the option --json takes no value'],
    [['check', 'other.json'], 'check takes no argument "other.json"'],
    [['status', 'all'], 'status takes no argument "all"'],
    [['ls', 'a', 'b'], 'ls takes one pattern, and not "b" as well'],
    [['unpin'], 'unpin needs a pattern'],
    [['gc', '--dryrun'], 'gc has no option --dryrun; did you mean "--dry-run"?'],
    [['gc', '--repair'], 'gc has no option --repair'],
    [['verify', '--repair=yes'], 'the option --repair takes no value'],
    [['--verbose'], 'unknown option --verbose'],
  ])('%j is refused with one sentence', async (argv, sentence) => {
    expect(await entrepot(argv)).toEqual({
      code: 2,
      stdout: '',
      stderr: `entrepot: ${sentence} (see entrepot --help)\n`,
    });
  });
});

describe('check', () => {
  test('prints the configuration in effect, one setting a line, without secrets', async () => {
    await configure({
      upstreams: { 'ghcr.io': { endpoints: ['https://ghcr.io'], username: 'bob', password: 'hunter2' } },
    });
    const { code, stdout, stderr } = await entrepot(['check', '--config', file], { ENTREPOT_LISTEN_PORT: '5001' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^listen\.port +5001$/m);
    expect(stdout).toMatch(/^upstreams\["ghcr\.io"\]\.password +\(hidden\)$/m);
    expect(stdout).toMatch(/^defaultUpstream +null$/m);
    expect(stdout).not.toContain('hunter2');
  });

  test('--json prints JSON', async () => {
    const { code, stdout } = await entrepot(['check', '--json', '--config', file]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ listen: { port: 5000 }, storage: { maxSize: '50GiB' } });
  });

  test('prints one line per problem', async () => {
    await configure({ listen: { prot: 1 }, storage: { maxSize: -1 } });
    const { code, stdout, stderr } = await entrepot(['check', '--config', file]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      `${file}: listen.prot is not a known setting; did you mean "port"?`,
      expect.stringContaining(`${file}: storage.maxSize must be a size`),
      '',
    ]);
  });

  test('--json prints problems as JSON', async () => {
    await configure({ listen: { prot: 1 } });
    const { code, stdout } = await entrepot(['check', '--json', '--config', file]);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ problems: [{ source: file, path: 'listen.prot' }] });
  });
});

describe('serve', () => {
  function service(parts: Partial<Service> = {}) {
    const started = { url: 'http://127.0.0.1:5000', reload: vi.fn(), stop: vi.fn(() => Promise.resolve()), ...parts };
    vi.mocked(startService).mockResolvedValue(started);
    return started;
  }

  async function serving(): Promise<Running> {
    const running = new Running(['serve', '--config', file]);
    await vi.waitFor(() => expect(running.log).toContain('listening on'));
    return running;
  }

  test('says where it listens, and stops when it is told to', async () => {
    const started = service();
    const running = await serving();
    expect(JSON.parse(running.log)).toMatchObject({
      url: 'http://127.0.0.1:5000',
      data: join(directory, 'data'),
      upstreams: ['docker.io'],
    });
    expect(started.stop).not.toHaveBeenCalled();
    running.terminate();
    expect(await running.result()).toMatchObject({ code: 0, stderr: '' });
    expect(started.stop).toHaveBeenCalledOnce();
  });

  test('told to stop while it starts, it stops', async () => {
    const started = service();
    const running = new Running(['serve', '--config', file]);
    running.terminate();
    expect((await running.result()).code).toBe(0);
    expect(started.stop).toHaveBeenCalledOnce();
  });

  test('a stop that takes longer than the grace and its margin fails', async () => {
    await configure({ log: { format: 'json' }, shutdownGrace: '1s' });
    service({ stop: () => new Promise(() => undefined) });
    const running = await serving();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    running.terminate();
    await vi.advanceTimersByTimeAsync(5_999);
    expect(running.log).not.toContain('did not stop in time');
    await vi.advanceTimersByTimeAsync(1);
    expect(await running.result()).toMatchObject({ code: 1 });
    expect(running.log).toContain('did not stop in time');
  });

  test('an invalid configuration starts nothing', async () => {
    await configure({ access: { admins: [] } });
    expect(await entrepot(['serve', '--config', file])).toEqual({
      code: 2,
      stdout: '',
      stderr: `${file}: access.admins is not supported yet\n`,
    });
    expect(startService).not.toHaveBeenCalled();
  });

  test('what hinders the start is told in one sentence', async () => {
    vi.mocked(startService).mockRejectedValue(new StartupError('port 5000 is already in use'));
    expect(await entrepot(['serve', '--config', file])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'entrepot: port 5000 is already in use\n',
    });
  });

  test('a bug is told in one sentence; its stack is for the debug log', async () => {
    vi.mocked(startService).mockRejectedValue(new TypeError('x is not a function'));
    const quiet = await entrepot(['serve', '--config', file]);
    expect(quiet).toMatchObject({ code: 1, stdout: '' });
    expect(quiet.stderr).toMatch(/^entrepot: failed unexpectedly: x is not a function .*\n$/);
    const loud = await entrepot(['serve', '--config', file], { ENTREPOT_LOG_LEVEL: 'debug' });
    expect(loud.stdout).toContain('cli.test.ts');
  });

  test('SIGHUP puts a valid new configuration into effect', async () => {
    const started = service();
    const running = await serving();
    const listen = { port: 5001, tls: { cert: 'server.crt', key: 'server.key' } };
    await configure({ log: { format: 'json', level: 'debug' }, storage: { maxSize: '1GB' }, listen });
    running.hangUp();
    await vi.waitFor(() => expect(running.log).toContain('take effect at the next start'));
    expect(started.reload).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({
        storage: expect.objectContaining({ path: join(directory, 'data'), maxSize: 1_000_000_000 }) as object,
      }),
    );
    expect(running.log).toContain('"settings":["listen.port","listen.tls"]');
    running.terminate();
    await running.result();
  });

  test('SIGHUP with an invalid configuration keeps the old one and says why', async () => {
    const started = service();
    const running = await serving();
    await configure({ storage: { maxSize: 'huge' } });
    running.hangUp();
    await vi.waitFor(() => expect(running.log).toContain('the old one stays in effect'));
    expect(running.log).toContain('storage.maxSize must be a size');
    expect(started.reload).not.toHaveBeenCalled();
    running.terminate();
    expect((await running.result()).code).toBe(0);
  });
});
