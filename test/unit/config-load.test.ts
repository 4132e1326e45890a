import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Config, tagTtlMs } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { problemText } from '../../src/config/problem.ts';
import { redacted } from '../../src/config/redact.ts';

let directory: string;
let file: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-config-'));
  file = join(directory, 'mirror.config.json');
});

afterAll(() => rm(directory, { recursive: true }));

type Env = Readonly<Record<string, string>>;

async function load(content: unknown, env: Env = {}) {
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return loadConfig({ file, env });
}

async function valid(content: unknown, env: Env = {}): Promise<Config> {
  const loaded = await load(content, env);
  if (!loaded.ok) throw new Error(loaded.failure.map(problemText).join('\n'));
  return loaded.value;
}

/** The lines that the user sees, without the directory of this test. */
async function problems(content: unknown, env: Env = {}): Promise<readonly string[]> {
  const loaded = await load(content, env);
  return loaded.ok ? [] : loaded.failure.map((problem) => problemText(problem).replaceAll(`${directory}/`, ''));
}

const hub = { endpoints: ['https://registry-1.docker.io'] };
const withUpstream = (settings: object) => ({ upstreams: { 'docker.io': { ...hub, ...settings } } });

describe('what is in effect', () => {
  test('an empty file runs', async () => {
    expect(redacted(await valid({}))).toEqual({
      listen: { host: '0.0.0.0', port: 5000, trustedProxies: [] },
      storage: { path: join(directory, 'data'), maxSize: '50GiB', pins: [], gcEvery: '1d', gcGrace: '1d' },
      upstreams: {
        'docker.io': {
          endpoints: ['https://registry-1.docker.io'],
          tagTtl: [{ match: '**', ttl: '5m' }],
          privateRepositories: 'users',
          search: true,
          insecure: false,
        },
      },
      defaultUpstream: 'docker.io',
      private: { namespaces: [] },
      access: { anonymous: { pull: true, push: false }, rules: [] },
      notifications: [],
      log: { level: 'info', format: 'json' },
      shutdownGrace: '30s',
    });
  });

  test('on a terminal the log is pretty, unless it is told otherwise', async () => {
    await writeFile(file, '{}');
    expect(await loadConfig({ file, env: {}, isTerminal: true })).toMatchObject({
      value: { log: { format: 'pretty' } },
    });
    const env = { ENTREPOT_LOG_FORMAT: 'json' };
    expect(await loadConfig({ file, env, isTerminal: true })).toMatchObject({ value: { log: { format: 'json' } } });
  });

  test('endpoints lose their final slash and keep their prefix', async () => {
    const endpoints = ['https://registry-1.docker.io/', 'http://Harbor.lan:8080/hub/'];
    const { upstreams } = await valid(withUpstream({ endpoints }));
    expect(upstreams.get('docker.io')?.endpoints).toEqual([
      'https://registry-1.docker.io',
      'http://harbor.lan:8080/hub',
    ]);
  });

  test('of tagTtl the first match decides', async () => {
    const tagTtl = [
      { match: 'library/*:latest', ttl: '1m' },
      { match: 'library/**', ttl: '1h' },
    ];
    const rules = (await valid(withUpstream({ tagTtl }))).upstreams.get('docker.io')?.tagTtl ?? [];
    expect(tagTtlMs(rules, 'library/alpine', 'latest')).toBe(60_000);
    expect(tagTtlMs(rules, 'library/alpine', '3.20')).toBe(3_600_000);
    expect(tagTtlMs(rules, 'grafana/grafana', 'latest')).toBe(300_000);
  });

  test('without Docker Hub there is no default upstream, unless one is named', async () => {
    const upstreams = { 'ghcr.io': { endpoints: ['https://ghcr.io'] } };
    expect((await valid({ upstreams })).defaultUpstream).toBeNull();
    expect((await valid({ upstreams, defaultUpstream: 'ghcr.io' })).defaultUpstream).toBe('ghcr.io');
    expect((await valid({ defaultUpstream: null })).defaultUpstream).toBeNull();
  });

  test('rules are told as they were written, and the file of users is relative to the config file', async () => {
    const rules = [
      { repositories: ['registry.lan:5000/team/**', 'local/*'], pull: ['anonymous'], push: ['bob', 'net:10.0.0.0/8'] },
      { repositories: ['**'], push: [], delete: ['alice'] },
    ];
    const config = await valid({ access: { htpasswd: 'users', rules } });
    expect(redacted(config).access).toEqual({
      htpasswd: join(directory, 'users'),
      anonymous: { pull: true, push: false },
      rules,
    });
  });

  test('namespaces are patterns', async () => {
    const [single, local] = (await valid({ private: { namespaces: ['*', 'local/**'] } })).private.namespaces;
    expect(single?.matches('test')).toBe(true);
    expect(single?.matches('library/test')).toBe(false);
    expect(local?.matches('local/a/b')).toBe(true);
  });
});

describe('the files and variables that settings name', () => {
  test('a password comes from the file, a path in it is relative to the config file', async () => {
    await writeFile(join(directory, 'hub.password'), ' pass word \n');
    const config = await valid(withUpstream({ username: 'bob', passwordFile: 'hub.password' }));
    expect(config.upstreams.get('docker.io')?.credentials).toEqual({ username: 'bob', password: ' pass word ' });
  });

  test('a password comes from the environment, whatever the variable is called', async () => {
    for (const passwordEnv of ['HUB', 'ENTREPOT_HUB_PASS', 'ENTREPOT_UPSTREAMS_DOCKER_IO_PASSWORD']) {
      const config = await valid(withUpstream({ username: 'bob', passwordEnv }), { [passwordEnv]: 'hunter2' });
      expect(config.upstreams.get('docker.io')?.credentials?.password).toBe('hunter2');
    }
  });

  test('certificates are read', async () => {
    const pem = rootCertificates.slice(0, 2).join('\n');
    await writeFile(join(directory, 'ca.pem'), pem);
    const config = await valid(withUpstream({ ca: './ca.pem' }));
    expect(config.upstreams.get('docker.io')?.ca).toBe(pem);
    expect(redacted(config).upstreams['docker.io']).toMatchObject({ ca: '(certificates: 2)' });
  });

  test('what cannot be read is told, all of it', async () => {
    await writeFile(join(directory, 'empty'), '\n');
    await writeFile(join(directory, 'damaged.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const upstreams = {
      'a.lan': { ...hub, username: 'bob', passwordFile: 'missing', ca: '.' },
      'b.lan': { ...hub, username: 'bob', passwordEnv: 'NOT_SET', ca: 'damaged.pem' },
      'c.lan': { ...hub, username: 'bob', passwordFile: 'empty', ca: 'empty' },
    };
    const lines = await problems({ upstreams });
    expect(lines.map((line) => line.replace(directory, '.'))).toEqual([
      'mirror.config.json: upstreams["a.lan"].passwordFile names missing, which cannot be read: there is no such file',
      'mirror.config.json: upstreams["a.lan"].ca names ., which cannot be read: it is a directory',
      'mirror.config.json: upstreams["b.lan"].passwordEnv must be the name of an environment variable that is set and not empty',
      'mirror.config.json: upstreams["b.lan"].ca names a file with a damaged certificate',
      'mirror.config.json: upstreams["c.lan"].passwordFile names a file that is empty',
      'mirror.config.json: upstreams["c.lan"].ca names a file without a certificate in PEM form',
    ]);
  });

  test('no secret is printed', async () => {
    const config = await valid(withUpstream({ username: 'bob', password: 'hunter2' }));
    expect(JSON.stringify(redacted(config))).not.toContain('hunter2');
    expect(redacted(config).upstreams['docker.io']).toMatchObject({ username: 'bob', password: '(hidden)' });
  });
});

describe('mistakes', () => {
  test('a file that is missing, a directory, or not JSON', async () => {
    const missing = await loadConfig({ file: join(directory, 'nowhere.json'), env: {} });
    expect(missing).toMatchObject({ failure: [{ message: 'cannot be read: there is no such file' }] });
    const folder = await loadConfig({ file: directory, env: {} });
    expect(folder).toMatchObject({ failure: [{ message: 'cannot be read: it is a directory' }] });
    expect(await problems('{\n  "listen": {},\n}')).toEqual([
      'mirror.config.json: is not JSON at line 3, column 1: expected a key in double quotes, not }',
    ]);
    expect(await problems('[]')).toEqual(['mirror.config.json: must be an object: { … }']);
    expect(await problems('\uFEFF{}')).toEqual([]);
  });

  test('an unknown key is named with its path and the nearest known one', async () => {
    expect(
      await problems({
        lisen: {},
        listen: { prot: 1 },
        storage: { maxsize: '1GB' },
        maxSize: '1GB',
        xyzzy: 1,
        ...withUpstream({ tagTTL: '5m' }),
      }),
    ).toEqual([
      'mirror.config.json: listen.prot is not a known setting; did you mean "port"?',
      'mirror.config.json: storage.maxsize is not a known setting; did you mean "maxSize"?',
      'mirror.config.json: upstreams["docker.io"].tagTTL is not a known setting; did you mean "tagTtl"?',
      'mirror.config.json: lisen is not a known setting; did you mean "listen"?',
      'mirror.config.json: maxSize is not a known setting; did you mean storage.maxSize?',
      'mirror.config.json: xyzzy is not a known setting',
    ]);
  });

  test.each([
    [{ listen: 5 }, 'listen must be an object, not 5'],
    [{ listen: null }, 'listen must be an object, not null'],
    [{ listen: { port: '5000' } }, 'listen.port must be an integer from 0 to 65535, not "5000"'],
    [{ listen: { port: 65_536 } }, 'listen.port must be an integer from 0 to 65535, not 65536'],
    [
      { storage: { maxSize: '50G' } },
      'storage.maxSize must be a size such as "50GiB" or a number of bytes (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), not "50G"',
    ],
    [{ shutdownGrace: 30 }, 'shutdownGrace must be a duration such as "5m" (units: ms, s, m, h, d), not 30'],
    [{ shutdownGrace: '2h' }, 'shutdownGrace must be at most "1h"'],
    [
      { log: { level: 'verbose' } },
      'log.level must be one of "trace", "debug", "info", "warn", "error", not "verbose"',
    ],
    [{ access: { anonymous: { pull: 'yes' } } }, 'access.anonymous.pull must be true or false, not "yes"'],
    [{ access: { rules: [{ pull: [] }] } }, 'access.rules[0].repositories is missing; it must be a list of patterns'],
    [
      { access: { rules: [{ repositories: ['**'], push: 'bob' }] } },
      'access.rules[0].push must be a list of user names, "anonymous" or "net:10.0.0.0/8", not "bob"',
    ],
    [
      { access: { rules: [{ repositories: ['**'], push: ['net:lan'] }] } },
      'access.rules[0].push[0] must be a user name, "anonymous" or "net:10.0.0.0/8", not "net:lan": neither an address nor a network such as 10.0.0.0/8',
    ],
    [
      { private: { namespaces: ['team/**', 'docker.io/team/**'] } },
      'private.namespaces[1] must be written without the registry in front: "team/**"',
    ],
    [
      { private: { namespaces: ['Local/*'] } },
      'private.namespaces[0] must be a pattern, not "Local/*": a repository name has only lower-case letters, digits and . _ - /',
    ],
    [{ private: { namespaces: '*' } }, 'private.namespaces must be a list of patterns, not "*"'],
    [{ defaultUpstream: 'ghcr.io' }, 'defaultUpstream must be one of the upstreams ("docker.io") or null'],
    [{ upstreams: { 'docker.io': {} } }, 'upstreams["docker.io"].endpoints is missing; it must be a list of URLs'],
    [
      { upstreams: { 'registry-1.docker.io': hub } },
      'upstreams["registry-1.docker.io"] is Docker Hub, which image references call "docker.io"',
    ],
    [
      { upstreams: { library: hub } },
      'upstreams.library must be a registry as image references name it, such as "ghcr.io" or "registry.lan:5000"',
    ],
    [
      withUpstream({ tagTtl: 5 }),
      'upstreams["docker.io"].tagTtl must be a duration or a list of { "match": "pattern", "ttl": "1h" }, not 5',
    ],
    [
      withUpstream({ tagTtl: [{ match: 'a', ttl: 'soon' }] }),
      'upstreams["docker.io"].tagTtl[0].ttl must be a duration such as "5m" (units: ms, s, m, h, d), not "soon"',
    ],
    [
      withUpstream({ username: 'bob' }),
      'upstreams["docker.io"].username needs one of password, passwordFile, passwordEnv beside it',
    ],
    [withUpstream({ password: 'hunter2' }), 'upstreams["docker.io"].password needs a username beside it'],
    [
      withUpstream({ username: 'bob', password: 'hunter2', passwordEnv: 'HUB' }),
      'upstreams["docker.io"].passwordEnv cannot stand beside password: exactly one gives the password',
    ],
    [
      withUpstream({ ca: 'x', insecure: true }),
      'upstreams["docker.io"].ca has no effect beside insecure: use one of them',
    ],
  ])('%j', async (content, line) => {
    expect(await problems(content)).toEqual([`mirror.config.json: ${line}`]);
  });

  test.each([
    [[], 'endpoints must be a list of at least one URL'],
    [['registry-1.docker.io'], 'endpoints[0] must be a URL that starts with https://'],
    [['ftp://registry'], 'endpoints[0] must be a URL that starts with https://'],
    [['https://bob:hunter2@registry'], 'endpoints[0] must be a URL without credentials'],
    [['https:/bob:hunter2@registry'], 'endpoints[0] must be a URL that starts with https://'],
    [['https://ok', 'https://registry/?x=hunter2'], 'endpoints[1] must be a URL without query and fragment'],
    [['https://registry/#'], 'endpoints[0] must be a URL without query and fragment'],
    [['https://registry/v2/'], 'endpoints[0] must be a URL that ends before /v2'],
  ])('endpoints %j, without quoting what may be a secret', async (endpoints, expected) => {
    const [line = '', ...others] = await problems(withUpstream({ endpoints }));
    expect(line).toContain(expected);
    expect(line).not.toContain('hunter2');
    expect(others).toEqual([]);
  });

  test('all are told at once, rules between settings included', async () => {
    const lines = await problems({
      listen: { port: -1 },
      defaultUpstream: 'quay.io',
      ...withUpstream({ endpoints: [], username: 'bob', unknown: 1 }),
    });
    expect(lines).toHaveLength(5);
  });
});

describe('how clients reach it', () => {
  test('files of TLS are relative to the configuration, and are not read yet', async () => {
    const listen = { tls: { cert: 'tls/server.crt', key: '/etc/server.key' }, clientCa: 'clients.crt' };
    expect(redacted(await valid({ listen }))).toMatchObject({
      listen: {
        tls: { cert: join(directory, 'tls/server.crt'), key: '/etc/server.key' },
        clientCa: join(directory, 'clients.crt'),
      },
    });
  });

  test('all of it can come from the environment', async () => {
    const config = await valid(
      {},
      {
        ENTREPOT_LISTEN_TLS_CERT: '/c',
        ENTREPOT_LISTEN_TLS_KEY: '/k',
        ENTREPOT_LISTEN_CLIENT_CA: '/ca',
        ENTREPOT_LISTEN_TRUSTED_PROXIES: '10.0.0.0/8, ::1',
        ENTREPOT_LISTEN_PUBLIC_URL: 'https://mirror.lan/',
      },
    );
    expect(redacted(config).listen).toEqual({
      host: '0.0.0.0',
      port: 5000,
      tls: { cert: '/c', key: '/k' },
      clientCa: '/ca',
      trustedProxies: ['10.0.0.0/8', '::1'],
      publicUrl: 'https://mirror.lan',
    });
    expect(config.listen.trustedProxies.map((range) => range.contains('10.9.9.9'))).toEqual([true, false]);
  });

  test.each([
    ['https://mirror.lan', 'https://mirror.lan'],
    ['https://Mirror.LAN:443/', 'https://mirror.lan'],
    ['http://[fd00::5]:5000', 'http://[fd00::5]:5000'],
  ])('publicUrl %j is %j', async (publicUrl, expected) => {
    expect((await valid({ listen: { publicUrl } })).listen.publicUrl).toBe(expected);
  });

  const isUrl = 'must be a URL that starts with https:// or http:// and a host name';
  test.each([
    [{ clientCa: 'ca.crt' }, 'listen.clientCa needs tls beside it'],
    [{ tls: { cert: 'a' } }, 'listen.tls.key is missing; it must be a text'],
    [{ tls: {}, clientCa: '' }, 'listen.tls.cert is missing; it must be a text'],
    [{ tls: { cert: 'a', key: 'b', ca: 'c' } }, 'listen.tls.ca is not a known setting'],
    [
      { trustedProxies: '10.0.0.0/8' },
      'listen.trustedProxies must be a list of addresses and networks, not "10.0.0.0/8"',
    ],
    [
      { trustedProxies: ['10.0.0.0/33'] },
      'listen.trustedProxies[0] must be an address or a network, not "10.0.0.0/33": behind the slash stands a number from 0 to 32',
    ],
    [
      { trustedProxies: ['proxy.lan'] },
      'listen.trustedProxies[0] must be an address or a network, not "proxy.lan": neither an address nor a network such as 10.0.0.0/8',
    ],
    [{ publicUrl: 'mirror.lan' }, `listen.publicUrl ${isUrl}`],
    [{ publicUrl: 'https:///x' }, `listen.publicUrl ${isUrl}`],
    [{ publicUrl: 'https://bob:hunter2@mirror.lan' }, 'listen.publicUrl must be a URL without credentials'],
    [{ publicUrl: 'https://mirror.lan/x' }, 'listen.publicUrl must be a URL that ends with the host or its port'],
    [{ publicUrl: 'https://mirror.lan?x' }, 'listen.publicUrl must be a URL that ends with the host or its port'],
  ])('%j is refused', async (listen, expected) => {
    const lines = await problems({ listen });
    expect(lines[0]).toContain(`mirror.config.json: ${expected}`);
    expect(lines.join()).not.toContain('hunter2');
  });
});

describe('settings without effect are refused', () => {
  test.each([
    [withUpstream({ allow: ['**'] }), 'upstreams["docker.io"].allow'],
    [withUpstream({ deny: ['**'] }), 'upstreams["docker.io"].deny'],
    [{ access: { admins: [] } }, 'access.admins'],
  ])('%j', async (content, path) => {
    expect(await problems(content)).toEqual([`mirror.config.json: ${path} is not supported yet`]);
  });

  test('from the environment as well', async () => {
    const env = {
      ENTREPOT_ACCESS_ADMINS: 'bob',
      ENTREPOT_UPSTREAMS_DOCKER_IO_ALLOW: 'library/*',
    };
    expect(await problems({}, env)).toEqual([
      'ENTREPOT_UPSTREAMS_DOCKER_IO_ALLOW: upstreams["docker.io"].allow is not supported yet',
      'ENTREPOT_ACCESS_ADMINS: access.admins is not supported yet',
    ]);
  });
});

describe('the environment', () => {
  test('overrides settings of every type', async () => {
    const config = await valid(
      { listen: { port: 5000 }, private: { namespaces: ['*'] } },
      {
        ENTREPOT_LISTEN_PORT: '5001',
        ENTREPOT_STORAGE_MAXSIZE: '1073741824',
        ENTREPOT_ACCESS_ANONYMOUS_PULL: 'false',
        ENTREPOT_ACCESS_RULES: '[{ "repositories": ["team/**"], "push": ["bob"] }]',
        ENTREPOT_PRIVATE_NAMESPACES: 'a/**, b/*',
        ENTREPOT_DEFAULT_UPSTREAM: 'null',
        ENTREPOT_UPSTREAMS_DOCKER_IO_ENDPOINTS: '["https://mirror.example", "https://registry-1.docker.io"]',
        ENTREPOT_UPSTREAMS_DOCKER_IO_TAG_TTL: '[{ "match": "library/*", "ttl": "1h" }]',
        ENTREPOT_UPSTREAMS_DOCKER_IO_USERNAME: '12345',
        ENTREPOT_UPSTREAMS_DOCKER_IO_PASSWORD: '[true]',
        PATH: '/bin',
      },
    );
    expect(redacted(config)).toMatchObject({
      listen: { port: 5001 },
      storage: { maxSize: '1GiB' },
      access: { anonymous: { pull: false }, rules: [{ repositories: ['team/**'], push: ['bob'] }] },
      private: { namespaces: ['a/**', 'b/*'] },
      defaultUpstream: null,
      upstreams: {
        'docker.io': {
          endpoints: ['https://mirror.example', 'https://registry-1.docker.io'],
          tagTtl: [{ match: 'library/*', ttl: '1h' }],
          username: '12345',
        },
      },
    });
    expect(config.upstreams.get('docker.io')?.credentials?.password).toBe('[true]');
  });

  test.each(['ENTREPOT_STORAGE_MAXSIZE', 'ENTREPOT_STORAGE_MAX_SIZE', 'entrepot_storage_maxSize'])(
    '%s is storage.maxSize',
    async (variable) => {
      expect((await valid({}, { [variable]: '1GB' })).storage.maxSize).toBe(1_000_000_000);
    },
  );

  test('reaches the upstreams that the file defines', async () => {
    const upstreams = { 'ghcr.io': { endpoints: ['https://ghcr.io'] } };
    const config = await valid({ upstreams }, { ENTREPOT_UPSTREAMS_GHCR_IO_INSECURE: 'true' });
    expect(config.upstreams.get('ghcr.io')?.insecure).toBe(true);
    expect(await problems({}, { ENTREPOT_UPSTREAMS_GHCR_IO_INSECURE: 'true' })).toHaveLength(1);
  });

  test('names the variable in which the mistake is', async () => {
    expect(
      await problems({ listen: { host: '' } }, { ENTREPOT_LISTEN_PORT: 'http', ENTREPOT_LOG_LEVEL: 'loud' }),
    ).toEqual([
      'mirror.config.json: listen.host must be a text that is not empty, not ""',
      'ENTREPOT_LISTEN_PORT: listen.port must be an integer from 0 to 65535, not "http"',
      'ENTREPOT_LOG_LEVEL: log.level must be one of "trace", "debug", "info", "warn", "error", not "loud"',
    ]);
  });

  test('refuses what it does not know, with the nearest it does', async () => {
    expect(await problems({}, { ENTREPOT_LISTEN_PROT: '1', ENTREPOT_XYZZY: '1', ENTREPOT_CONFIG_DIR: '/etc' })).toEqual(
      [
        'ENTREPOT_LISTEN_PROT: is not the name of a setting; did you mean ENTREPOT_LISTEN_PORT?',
        'ENTREPOT_XYZZY: is not the name of a setting',
      ],
    );
  });

  test('a Kubernetes Service that is named entrepot does not keep it from starting', async () => {
    const links = {
      ENTREPOT_SERVICE_HOST: '10.0.0.7',
      ENTREPOT_SERVICE_PORT_HTTP: '5000',
      ENTREPOT_PORT: 'tcp://10.0.0.7:5000',
      ENTREPOT_PORT_5000_TCP_ADDR: '10.0.0.7',
    };
    expect((await valid({}, links)).listen.port).toBe(5000);
    expect(await problems({}, { ENTREPOT_PORT: '5001' })).toHaveLength(1);
  });

  test('refuses what has two meanings, or is said twice', async () => {
    const upstreams = { 'a-b.lan': hub, 'ab.lan': hub };
    expect(await problems({ upstreams }, { ENTREPOT_UPSTREAMS_AB_LAN_CA: 'x' })).toEqual([
      'ENTREPOT_UPSTREAMS_AB_LAN_CA: can mean upstreams["a-b.lan"].ca or upstreams["ab.lan"].ca: write it in the file',
    ]);
    expect(await problems({}, { ENTREPOT_STORAGE_MAXSIZE: '1GB', ENTREPOT_STORAGE_MAX_SIZE: '2GB' })).toEqual([
      'ENTREPOT_STORAGE_MAX_SIZE: storage.maxSize is also set by ENTREPOT_STORAGE_MAXSIZE',
    ]);
  });
});
