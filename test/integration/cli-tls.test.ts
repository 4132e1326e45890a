import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newAuthority } from '../../src/cli/certificates.ts';
import { run } from '../../src/cli/run.ts';
import { authority, day, PemFiles, serverCertificate, validity } from '../support/certificates.ts';

const [ca, other] = [await authority(), await authority('Other CA')];
const server = await serverCertificate(ca);
const expired = await newAuthority('Old CA', validity(-2 * day, -day));
const issued = { ca, other, server, expired };

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-cli-tls-'));
});

afterEach(() => rm(directory, { recursive: true }));

async function entrepot(...argv: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const said = Promise.all([text(stdout), text(stderr)]);
  const stop = new AbortController().signal;
  const code = await run(argv, { stdin: new PassThrough(), stdout, stderr, env: {}, stop, onReload: () => undefined });
  stdout.end();
  stderr.end();
  const [printed, complained] = await said;
  return { code, stdout: printed, stderr: complained };
}

const at = (name: string) => join(directory, name);
const read = (name: string) => readFile(at(name), 'utf8');

function selfSigned(...options: readonly string[]) {
  return entrepot('tls', 'self-signed', '--out', directory, ...options);
}

describe('tls self-signed', () => {
  test('makes what a client that trusts its authority accepts, by each name and address', async () => {
    const names = ['localhost', '127.0.0.1', '*.lab.lan', '::1'];
    expect(await selfSigned(...names.flatMap((name) => ['--host', name]))).toMatchObject({ code: 0, stderr: '' });
    const [ca, cert, key] = [await read('ca.crt'), await read('server.crt'), await read('server.key')];
    const server = createServer({ cert, key }, (_, response) => response.end('hello'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (const host of ['127.0.0.1', 'localhost']) {
      const lookup = (_: string, __: object, done: (error: null, found: object[]) => void) =>
        done(null, [{ address: '127.0.0.1', family: 4 }]);
      const [answer] = (await once(get({ host, port, ca, lookup: lookup as never, agent: false }), 'response')) as [
        AsyncIterable<Buffer>,
      ];
      expect(await text(answer)).toBe('hello');
    }
    server.close();
    const leaf = new X509Certificate(cert);
    expect([leaf.checkHost('a.lab.lan'), leaf.checkHost('mirror.lan'), leaf.checkIP('::1')]).toEqual([
      '*.lab.lan',
      undefined,
      '::1',
    ]);
  });

  test('keeps keys from others, and says where everything is and goes', async () => {
    const { stdout } = await selfSigned('--host', '*.lan', '--host', 'Mirror.LAN', '--days', '30');
    expect((await readdir(directory)).sort()).toEqual(['ca.crt', 'ca.key', 'server.crt', 'server.key']);
    for (const name of ['ca.key', 'server.key']) expect((await stat(at(name))).mode & 0o777).toBe(0o600);
    const until = new Date(new X509Certificate(await read('server.crt')).validTo);
    expect(Math.round((until.getTime() - Date.now()) / 86_400_000)).toBe(30);
    const listen = /"listen": (\{.*\})$/m.exec(stdout)?.[1] ?? '';
    expect(JSON.parse(listen)).toEqual({ tls: { cert: at('server.crt'), key: at('server.key') } });
    for (const line of [
      `*.lan, mirror.lan, good until ${until.toISOString().slice(0, 10)}`,
      '/etc/docker/certs.d/mirror.lan:5000/ca.crt',
      '/etc/containers/certs.d/mirror.lan:5000/ca.crt',
      '[host."https://mirror.lan:5000"]: ca = ',
      'update-ca-certificates',
    ]) {
      expect(stdout).toContain(line);
    }
  });

  test('--json prints paths and the end', async () => {
    const { stdout } = await selfSigned('--host', 'mirror.lan', '--json');
    expect(JSON.parse(stdout)).toEqual({
      ca: at('ca.crt'),
      caKey: at('ca.key'),
      cert: at('server.crt'),
      key: at('server.key'),
      notAfter: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    });
  });

  test('replaces nothing unless it is told to, and the authority never: clients go on trusting it', async () => {
    await selfSigned('--host', 'mirror.lan');
    const before = await Promise.all(['ca.crt', 'ca.key', 'server.crt', 'server.key'].map(read));
    const refused = await selfSigned('--host', 'other.lan');
    expect(refused).toEqual({
      code: 1,
      stdout: '',
      stderr: `entrepot: ${at('server.crt')} is there already: --force replaces it, --out writes elsewhere\n`,
    });
    expect(await Promise.all(['ca.crt', 'ca.key', 'server.crt', 'server.key'].map(read))).toEqual(before);

    expect(await selfSigned('--host', 'other.lan', '--force', '--days', '36500')).toMatchObject({ code: 0 });
    expect(await Promise.all(['ca.crt', 'ca.key'].map(read))).toEqual(before.slice(0, 2));
    const [ca, leaf] = [new X509Certificate(await read('ca.crt')), new X509Certificate(await read('server.crt'))];
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(leaf.checkHost('other.lan')).toBe('other.lan');
    expect(leaf.validTo).toBe(ca.validTo);
  });

  test.each([
    ['without its key', { 'ca.crt': issued.ca.cert }, 'ca.crt is of no use without'],
    [
      'with a key of another',
      { 'ca.crt': issued.ca.cert, 'ca.key': issued.other.key },
      'its key does not belong to it',
    ],
    [
      'that is none',
      { 'ca.crt': issued.server.cert, 'ca.key': issued.server.key },
      'it is no certificate of an authority',
    ],
    ['that is damaged', { 'ca.crt': 'x', 'ca.key': issued.ca.key }, 'is not in PEM form'],
    ['that has expired', { 'ca.crt': issued.expired.cert, 'ca.key': issued.expired.key }, 'it expired on '],
  ])('an authority %s signs nothing', async (_, files, sentence) => {
    for (const [name, content] of Object.entries(files)) await writeFile(at(name), content);
    const { code, stdout, stderr } = await selfSigned('--host', 'mirror.lan');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(sentence);
    expect((await readdir(directory)).sort()).toEqual(Object.keys(files));
  });

  test('where it cannot write, it says where', async () => {
    await writeFile(at('file'), '');
    const { code, stderr } = await entrepot('tls', 'self-signed', '--host', 'x', '--out', at('file/below'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^entrepot: .*file\/below.*: there is no such file\n$/);
  });

  test.each([
    [['tls'], 'tls needs self-signed behind it'],
    [['tls', 'selfsigned'], 'tls knows self-signed, and not "selfsigned"'],
    [['tls', 'self-signed'], 'tls self-signed needs --host, the name or address by which clients reach the mirror'],
    [['tls', 'self-signed', 'mirror.lan', '--host', 'x'], 'tls self-signed takes no argument "mirror.lan"'],
    [['tls', 'self-signed', '--host'], 'the option --host needs a value'],
    [['tls', 'self-signed', '--host', 'x', '--days', '0'], '--days must be an integer from 1 to 36500'],
    [['tls', 'self-signed', '--host', 'x', '--days', 'all'], '--days must be an integer from 1 to 36500'],
    [['tls', 'self-signed', '--host', 'x', '--hots', 'y'], 'tls has no option --hots; did you mean "--host"?'],
    ...['mirror.lan:5000', 'https://mirror.lan', '10.0.0.300', 'a..b', '-a', 'a b', '*', 'fe80::1%eth0', 'ä.lan'].map(
      (host) =>
        [
          ['tls', 'self-signed', '--host', host],
          `--host ${JSON.stringify(host)} is neither a host name nor an IP address (without port and https://)`,
        ] as const,
    ),
  ] as const)('%j is refused with one sentence', async (argv, sentence) => {
    expect(await entrepot(...argv)).toEqual({
      code: 2,
      stdout: '',
      stderr: `entrepot: ${sentence} (see entrepot --help)\n`,
    });
  });
});

describe('setup docker', () => {
  async function setup(listen: object, ...options: readonly string[]) {
    await writeFile(at('mirror.config.json'), JSON.stringify({ listen }));
    return entrepot('setup', 'docker', '--config', at('mirror.config.json'), ...options);
  }

  test.each([
    [{ publicUrl: 'http://mirror.lan:5000' }, ['http://mirror.lan:5000'], ['mirror.lan:5000']],
    [{ publicUrl: 'http://mirror.lan' }, ['http://mirror.lan'], ['mirror.lan']],
    [{ publicUrl: 'https://mirror.lan' }, ['https://mirror.lan'], undefined],
    [{ publicUrl: 'http://127.0.0.1:5000' }, ['http://127.0.0.1:5000'], undefined],
    [{ host: '10.1.2.3', port: 5001 }, ['http://10.1.2.3:5001'], ['10.1.2.3:5001']],
    [{ host: 'fd00::5' }, ['http://[fd00::5]:5000'], ['[fd00::5]:5000']],
  ])('with %j, --json prints the daemon.json and nothing else', async (listen, mirrors, insecure) => {
    const { code, stdout } = await setup(listen, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      'registry-mirrors': mirrors,
      ...(insecure && { 'insecure-registries': insecure }),
    });
  });

  test('without publicUrl it guesses this machine’s name, and says so', async () => {
    const { stdout, stderr } = await setup({ port: 5001 }, '--json');
    expect(stdout).toContain(`"http://${hostname().toLowerCase()}:5001"`);
    expect(stderr).toContain('listen.publicUrl is not set');
  });

  test.each([
    [{ host: '127.0.0.1' }, 'where only this machine can reach it'],
    [{ port: 0 }, 'listen.port is 0'],
    [
      { publicUrl: 'https://mirror.lan' },
      "TLS ends before the mirror: if that certificate is of a private authority, the authority's belongs into /etc/docker/certs.d/mirror.lan/ca.crt",
    ],
    [{ publicUrl: 'https://m', tls: { cert: 'gone.crt', key: 'k' } }, 'gone.crt cannot be read: there is no such file'],
  ])('with %j it warns', async (listen, warning) => {
    expect((await setup(listen)).stderr).toContain(warning);
  });

  test('it says where the file of a private authority goes, and whether the certificate is for that name', async () => {
    await selfSigned('--host', 'mirror.lan');
    const tls = { cert: 'server.crt', key: 'server.key' };
    const said = await setup({ tls, publicUrl: 'https://mirror.lan:5000' });
    expect(said.stderr).toBe('');
    expect(said.stdout).toContain(`${at('ca.crt')} is to be copied to /etc/docker/certs.d/mirror.lan:5000/ca.crt`);
    expect(said.stdout).toContain('"registry-mirrors"');
    expect(said.stdout).not.toContain('insecure-registries');
    expect(said.stdout).not.toContain('client.cert');
    const other = await setup({ tls, publicUrl: 'https://other.lan', clientCa: 'ca.crt' });
    expect(other.stderr).toContain(`${at('server.crt')} is not for other.lan`);
    expect(other.stdout).toContain('client.cert and client.key');
  });

  test('another authority’s file is not taken for that of the certificate', async () => {
    await using files = await PemFiles.ofServer(await serverCertificate(await authority()));
    await files.put('ca.crt', issued.other.cert);
    const { stdout } = await setup({ tls: files.settings, publicUrl: 'https://127.0.0.1' });
    expect(stdout).toContain("the certificate of the mirror's own authority is to be copied");
  });

  test('a configuration that is wrong is told', async () => {
    expect(await setup({ prot: 1 })).toMatchObject({ code: 2, stdout: '' });
  });

  test.each([
    [['setup'], 'setup needs the client behind it: setup docker'],
    [['setup', 'podman'], 'setup podman is not supported yet'],
    [['setup', 'dokcer'], 'setup knows no client "dokcer"; did you mean "docker"?'],
    [['setup', 'docker', 'x'], 'setup docker takes no argument "x"'],
  ])('%j is refused with one sentence', async (argv, sentence) => {
    expect(await entrepot(...argv)).toMatchObject({ code: 2, stderr: `entrepot: ${sentence} (see entrepot --help)\n` });
  });
});
