import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Job, Status } from '../../src/admin/operations.ts';
import { run } from '../../src/cli/run.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { AdminSite, gibibyte, image, soundStatus } from '../support/operations.ts';

// The commands are what is tested here, and the daemon they ask is not the real one.
vi.mock('../../src/compose.ts', () => ({ startService: vi.fn(), StartupError: class extends Error {} }));

afterEach(() => {
  vi.useRealTimers();
});

interface Surroundings {
  readonly stop?: AbortSignal;
  readonly stdout?: Writable;
  readonly isTerminal?: boolean;
}

async function entrepot(argv: readonly string[], { stop, stdout, isTerminal = false }: Surroundings = {}) {
  const out = new PassThrough();
  const err = Object.assign(new PassThrough(), { isTTY: isTerminal, columns: 80 });
  const said = Promise.all([text(out), text(err)]);
  const code = await run(argv, {
    stdin: new PassThrough(),
    stdout: stdout ?? out,
    stderr: err,
    env: {},
    stop: stop ?? new AbortController().signal,
    onReload: () => undefined,
  });
  out.end();
  err.end();
  const [printed, complained] = await said;
  return { code, stdout: printed, stderr: complained };
}

function ask(site: AdminSite, argv: readonly string[], surroundings?: Surroundings) {
  return entrepot([...argv, '--config', site.config], surroundings);
}

const everyCommand = [['status'], ['ls'], ['pin'], ['pin', 'x'], ['unpin', 'x'], ['gc'], ['verify']];

describe('no daemon to ask', () => {
  test.each(everyCommand)('%s %s says so', async (...argv) => {
    await using site = await AdminSite.prepare();
    expect(await ask(site, argv)).toEqual({
      code: 1,
      stdout: '',
      stderr: `entrepot: no daemon is running on ${site.root} (start one with "entrepot serve")\n`,
    });
  });

  test('the socket of one that was killed is no daemon', async () => {
    await using site = await AdminSite.prepare();
    await site.leaveSocketOfKilled();
    expect(await ask(site, ['status'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no daemon is running on') as string,
    });
  });

  test('a user that may not open the socket is told which', async () => {
    await using site = await AdminSite.start();
    const isRoot = process.geteuid?.() === 0;
    await chmod(site.root, 0o755);
    if (isRoot) process.seteuid?.(65_534);
    else await chmod(site.socketPath, 0o000);
    try {
      expect(await ask(site, ['status'])).toEqual({
        code: 1,
        stdout: '',
        stderr: `entrepot: this user may not open the daemon's socket ${site.socketPath}: run the command as the user that the daemon runs as\n`,
      });
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  test('a data directory too deep for a socket is wrong configuration', async () => {
    await using site = await AdminSite.prepare(94);
    expect(await ask(site, ['ls'])).toEqual({
      code: 2,
      stdout: '',
      stderr: `entrepot: the path of the socket, ${site.root}/entrepot.sock, has 108 bytes and a socket's may have 107: choose a shorter storage.path\n`,
    });
  });

  test('an invalid configuration is told as check does', async () => {
    await using site = await AdminSite.prepare();
    await writeFile(site.config, '{"storage":{"pth":"x"}}');
    const problem = `storage.pth is not a known setting; did you mean "path"?`;
    expect(await ask(site, ['gc'])).toEqual({ code: 2, stdout: '', stderr: `${site.config}: ${problem}\n` });
    const { code, stdout } = await ask(site, ['gc', '--json']);
    expect({ code, problems: JSON.parse(stdout) as unknown }).toMatchObject({
      code: 2,
      problems: { problems: [{ source: site.config, path: 'storage.pth' }] },
    });
  });
});

describe('a daemon in trouble', () => {
  const brokenOff = (site: AdminSite) =>
    `entrepot: the daemon on ${site.root} ended, or broke off, in the middle of its answer\n`;

  test.each([
    ['before it answers', (_: unknown, res) => res.destroy()],
    [
      'in the middle of a line',
      (_: unknown, res) => {
        res.write('{"progress":{"done":1,"tot', () => res.destroy());
      },
    ],
    [
      'between two lines',
      (_: unknown, res) => {
        res.write('{"progress":{"done":1,"total":2,"unit":"blobs"}}\n', () => res.destroy());
      },
    ],
    ['without a result', (_: unknown, res) => void res.end('{"progress":{"done":1,"total":2,"unit":"blobs"}}\n')],
  ] satisfies [string, RequestListener][])('one that ends %s', async (_, answer) => {
    await using site = await AdminSite.prepare();
    await site.pretend(answer);
    expect(await ask(site, ['verify'])).toEqual({ code: 1, stdout: '', stderr: brokenOff(site) });
  });

  test('one that ends in the middle of a list leaves no valid JSON', async () => {
    await using site = await AdminSite.prepare();
    await site.pretend((_, res) => {
      res.write(`${JSON.stringify(image())}\n`, () => res.destroy());
    });
    const { code, stdout, stderr } = await ask(site, ['ls', '--json']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: brokenOff(site) });
    expect(() => JSON.parse(stdout) as unknown).toThrow();
  });

  test.each([
    ['nothing at all', () => undefined],
    ['only headers', (_: unknown, res) => res.flushHeaders()],
  ] satisfies [string, RequestListener][])('one that sends %s is given up', async (_, answer) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await using site = await AdminSite.prepare();
    let hasAsked: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (hasAsked = resolve));
    await site.pretend((req, res) => {
      answer(req, res);
      hasAsked();
    });
    const result = ask(site, ['status']);
    await asked;
    // The headers are on their way, and start a wait of their own.
    for (let waits = 0; waits < 2; waits++) await vi.advanceTimersByTimeAsync(30_000);
    expect(await result).toEqual({
      code: 1,
      stdout: '',
      stderr: 'entrepot: the daemon has sent nothing for 30 seconds\n',
    });
  });

  test.each([
    ['no JSON', (_: unknown, res) => void res.end('<html>')],
    ['another shape', (_: unknown, res) => void res.end('{"version":1}')],
    [
      'no such route',
      (_: unknown, res) => {
        res.statusCode = 404;
        res.end('{"error":"there is nothing under this path and method"}');
      },
    ],
  ] satisfies [string, RequestListener][])('one of another version: %s', async (_, answer) => {
    await using site = await AdminSite.prepare();
    await site.pretend(answer);
    expect(await ask(site, ['status'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'entrepot: the running daemon does not speak the language of this program: restart it, so that both are of the same version\n',
    });
  });

  test('one that is stopped says so', async () => {
    await using site = await AdminSite.start();
    const isRunning = untilRunning(site);
    const result = ask(site, ['verify']);
    await isRunning;
    await site.close();
    expect(await result).toEqual({ code: 1, stdout: '', stderr: 'entrepot: the daemon is stopping\n' });
  });
});

/** Resolves to the signal of the next job, which ends only when that aborts. */
function untilRunning({ operations }: AdminSite): Promise<AbortSignal> {
  return new Promise((resolve) => {
    operations.verify = async (_, { signal }) => {
      resolve(signal);
      if (!signal.aborted) await once(signal, 'abort');
      throw signal.reason;
    };
  });
}

describe('a command that is broken off', () => {
  test('Ctrl-C ends it, and the job in the daemon', async () => {
    await using site = await AdminSite.start();
    const isRunning = untilRunning(site);
    const stop = new AbortController();
    const result = ask(site, ['verify'], { stop: stop.signal });
    const job = await isRunning;
    stop.abort();
    expect(await result).toEqual({ code: 1, stdout: '', stderr: 'entrepot: interrupted\n' });
    if (!job.aborted) await once(job, 'abort');
  });

  test('a reader that goes away, as with `ls --json | head`, is no failure, and ends the list in the daemon', async () => {
    await using site = await AdminSite.start();
    let produced = 0;
    site.operations.images = async function* () {
      for (; produced < 100_000; produced++) yield await Promise.resolve(image());
    };
    const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    stdout.on('error', () => undefined);
    expect(await ask(site, ['ls', '--json'], { stdout })).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(produced).toBeLessThan(100_000);
  });
});

describe('status', () => {
  test('prints what there is, in units that people read', async () => {
    await using site = await AdminSite.start();
    const { code, stdout, stderr } = await ask(site, ['status']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'version    1.2.3',
      'listening  http://127.0.0.1:5000',
      expect.stringMatching(/^running {4}for \d+d, since 2026-01-01T00:00:00\.000Z$/),
      'cache      12.5 GiB of 50.0 GiB (25 %), 1,234 blobs',
      'hosted     3.0 GiB, 12 blobs',
      'pinned     2.0 GiB',
      'disk       100.0 GiB free, 5.0 GiB to be left free',
      'fills      3 under way',
      '',
    ]);
  });

  const troubled: Status = {
    ...soundStatus,
    cache: { ...soundStatus.cache, pinnedBytes: 60 * gibibyte },
    reconciled: false,
    recovery: {
      at: '2026-01-02T00:00:00.000Z',
      reason: 'the ledger was damaged',
      setAside: 'ledger.db.damaged-1',
      recovered: { blobs: 10, manifests: 1, tags: 0 },
      lost: ['2 tags of docker.io/library/alpine'],
    },
  };

  test('warns of what an operator must know', async () => {
    await using site = await AdminSite.start();
    site.operations.currentStatus = troubled;
    const { code, stdout } = await ask(site, ['status']);
    expect(code).toBe(0);
    expect(stdout.split('\n').filter((line) => line.startsWith('warning: '))).toEqual([
      'warning: the ledger was recovered at 2026-01-02T00:00:00.000Z: the ledger was damaged; 10 blobs, 1 manifest and 0 tags were found again; the damaged one is kept as ledger.db.damaged-1',
      'warning: not recovered: 2 tags of docker.io/library/alpine',
      'warning: pinned images take 60.0 GiB, and storage.maxSize is 50.0 GiB: nothing else can be kept; unpin some, or raise storage.maxSize',
      'warning: store and ledger are still being compared after a stop that was not clean',
    ]);
  });

  test('--json prints all of it', async () => {
    await using site = await AdminSite.start();
    site.operations.currentStatus = troubled;
    expect(JSON.parse((await ask(site, ['status', '--json'])).stdout)).toEqual(troubled);
  });
});

describe('ls', () => {
  const hex = digestOf(Buffer.from('alpine')).slice(7, 19);

  async function stocked(): Promise<AdminSite> {
    const site = await AdminSite.start();
    const usedAt = new Date(Date.now() - 3.5 * 3_600_000).toISOString();
    site.operations.stored = [
      image({ usedAt, pinned: true }),
      image({ usedAt, repository: 'ghcr.io/owner/app', tag: null, complete: false }),
      image({ usedAt, repository: 'registry.lan:5000/library/alpine', tag: 'v1', complete: false, platforms: [] }),
    ];
    return site;
  }

  test('prints a table', async () => {
    await using site = await stocked();
    expect((await ask(site, ['ls'])).stdout).toBe(
      [
        'REPOSITORY                        TAG   DIGEST               SIZE     COMPLETE     USED    PINNED',
        `docker.io/library/alpine          3.20  sha256:${hex}  3.0 MiB  yes          3h ago  yes`,
        `ghcr.io/owner/app                 -     sha256:${hex}  3.0 MiB  linux/amd64  3h ago`,
        `registry.lan:5000/library/alpine  v1    sha256:${hex}  3.0 MiB  no           3h ago`,
        '',
      ].join('\n'),
    );
  });

  test.each([
    ['docker.io/library/alpine', ['docker.io/library/alpine']],
    ['library/alpine', ['docker.io/library/alpine', 'registry.lan:5000/library/alpine']],
    ['alpine:3.*', ['docker.io/library/alpine']],
    ['registry.lan:5000/**', ['registry.lan:5000/library/alpine']],
    ['ghcr.io/*/app', ['ghcr.io/owner/app']],
    ['ghcr.io/*', []],
    ['**', ['docker.io/library/alpine', 'ghcr.io/owner/app', 'registry.lan:5000/library/alpine']],
  ])('%s names %j', async (pattern, repositories) => {
    await using site = await stocked();
    const { code, stdout } = await ask(site, ['ls', pattern, '--json']);
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as { repository: string }[]).map(({ repository }) => repository)).toEqual(repositories);
  });

  test('nothing to show is said where it is in nobody’s way', async () => {
    await using site = await stocked();
    expect(await ask(site, ['ls', 'nobody/*'])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('no stored image matches "nobody/*"') as string,
    });
    site.operations.stored = [];
    expect(await ask(site, ['ls'])).toEqual({ code: 0, stdout: '', stderr: 'entrepot: no image is stored yet\n' });
    expect(await ask(site, ['ls', '--json'])).toEqual({ code: 0, stdout: '[\n]\n', stderr: '' });
  });

  test('a pattern that is none is wrong usage', async () => {
    await using site = await stocked();
    expect(await ask(site, ['ls', 'a//b'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'entrepot: "a//b" is no pattern: a pattern has text before, between and after its slashes\n',
    });
  });

  test('100,000 images come whole, in both forms', async () => {
    await using site = await AdminSite.start();
    const total = 100_000;
    site.operations.images = async function* () {
      for (let count = 0; count < total; count++) yield await Promise.resolve(image({ tag: `v${count}` }));
    };
    const { stdout } = await ask(site, ['ls', '--json']);
    expect(JSON.parse(stdout)).toHaveLength(total);
    expect((await ask(site, ['ls'])).stdout.split('\n')).toHaveLength(total + 2);
  });
});

describe('pin and unpin', () => {
  test('print what is pinned then', async () => {
    await using site = await AdminSite.start();
    expect((await ask(site, ['pin', 'ghcr.io/**:v1'])).stdout).toBe(
      'PATTERN        FROM\nlibrary/*      configuration\nghcr.io/**:v1  command\n',
    );
    expect(JSON.parse((await ask(site, ['pin', '--json'])).stdout)).toEqual([
      { pattern: 'library/*', from: 'configuration' },
      { pattern: 'ghcr.io/**:v1', from: 'command' },
    ]);
    expect((await ask(site, ['unpin', 'ghcr.io/**:v1'])).stdout).toBe('PATTERN    FROM\nlibrary/*  configuration\n');
    site.operations.pinned = [];
    expect(await ask(site, ['pin'])).toEqual({ code: 0, stdout: '', stderr: 'entrepot: nothing is pinned\n' });
  });

  test('what the daemon refuses is told in its own words', async () => {
    await using site = await AdminSite.start();
    expect(await ask(site, ['unpin', 'x'])).toEqual({ code: 1, stdout: '', stderr: 'entrepot: x is not pinned\n' });
    expect(await ask(site, ['pin', '/x'])).toEqual({ code: 1, stdout: '', stderr: 'entrepot: /x is no pattern\n' });
  });
});

const digests = ['a', 'b'].map((content) => digestOf(Buffer.from(content)));

describe('gc', () => {
  async function littered(): Promise<AdminSite> {
    const site = await AdminSite.start();
    site.operations.collectGarbage = ({ dryRun }) =>
      Promise.resolve({
        dryRun,
        removed: [
          { kind: 'blob', digest: digests[0]!, bytes: gibibyte },
          { kind: 'quarantined', digest: digests[1]!, bytes: 512 },
        ],
        bytes: gibibyte + 512,
      });
    return site;
  }

  test('prints what was removed, or would be', async () => {
    await using site = await littered();
    const removed = `blob              ${digests[0]!}  1.0 GiB\nquarantined file  ${digests[1]!}  512 B\n`;
    const sum = '1 blob, 1 quarantined file: 1.0 GiB\n';
    expect(await ask(site, ['gc'])).toEqual({ code: 0, stdout: `${removed}removed ${sum}`, stderr: '' });
    expect((await ask(site, ['gc', '--dry-run'])).stdout).toBe(`${removed}would remove ${sum}`);
    expect(JSON.parse((await ask(site, ['gc', '--dry-run', '--json'])).stdout)).toMatchObject({
      dryRun: true,
      bytes: gibibyte + 512,
    });
  });

  test('says when there was nothing', async () => {
    await using site = await AdminSite.start();
    expect((await ask(site, ['gc'])).stdout).toBe('there is nothing to remove\n');
  });
});

describe('verify', () => {
  async function damaged(): Promise<AdminSite> {
    const site = await AdminSite.start();
    site.operations.verify = ({ repair }) =>
      Promise.resolve({
        blobs: 1_000,
        bytes: 3 * gibibyte,
        damaged: [
          {
            digest: digests[0]!,
            bytes: 1024,
            reason: 'wrong-content',
            images: ['docker.io/library/alpine:3.20', 'docker.io/library/alpine:latest'],
            repaired: repair,
            hosted: false,
          },
          { digest: digests[1]!, bytes: 10, reason: 'missing', images: [], repaired: false, hosted: true },
        ],
      });
    return site;
  }

  test('names each digest that is damaged and its images, and fails', async () => {
    await using site = await damaged();
    expect(await ask(site, ['verify'])).toEqual({
      code: 1,
      stdout: [
        `${digests[0]!}  1.0 KiB  the content is not what the digest says, not repaired`,
        '  part of docker.io/library/alpine:3.20',
        '  part of docker.io/library/alpine:latest',
        `${digests[1]!}  10 B  the file is missing, hosted here: push it again`,
        'verified 1,000 blobs, 3.0 GiB: 2 damaged, 0 of them repaired; entrepot verify --repair fetches again what is damaged',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  test('--repair says what was repaired, and still fails', async () => {
    await using site = await damaged();
    const { code, stdout } = await ask(site, ['verify', '--repair']);
    expect(code).toBe(1);
    expect(stdout).toContain('the content is not what the digest says, repaired\n');
    expect(stdout).toContain('2 damaged, 1 of them repaired\n');
    const json = await ask(site, ['verify', '--repair', '--json']);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({ damaged: [{ repaired: true }, { repaired: false }] });
  });

  test('is done when all is sound', async () => {
    await using site = await AdminSite.start();
    expect(await ask(site, ['verify'])).toEqual({
      code: 0,
      stdout: 'verified 0 blobs, 0 B: nothing is damaged\n',
      stderr: '',
    });
  });

  test('shows a bar on a terminal, and takes it away', async () => {
    await using site = await AdminSite.start();
    site.operations.verify = (_, { onProgress }: Job) => {
      onProgress({ done: gibibyte, total: 4 * gibibyte, unit: 'bytes' });
      return Promise.resolve({ blobs: 1, bytes: 4 * gibibyte, damaged: [] });
    };
    const { stdout, stderr } = await ask(site, ['verify'], { isTerminal: true });
    expect(stderr).toMatch(/verify \[=+-+\] 25 %, 1\.0 GiB of 4\.0 GiB/);
    expect(stdout).toBe('verified 1 blob, 4.0 GiB: nothing is damaged\n');
    expect((await ask(site, ['verify'])).stderr).toBe('');
  });
});
