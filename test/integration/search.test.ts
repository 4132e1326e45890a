import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { describe, expect, test } from 'vitest';
import { basic } from '../support/access-site.ts';
import { Daemon } from '../support/daemon.ts';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { mediaTypes } from '../support/fake-registry/image.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { type HubEntry, HubSearch } from '../support/hub-search.ts';

const hubEndpoint = 'https://registry-1.docker.io';
const anyone = { anonymous: { pull: true, push: true } };

/** An upstream with Docker Hub as its second endpoint: the first has all there is, so that the Hub itself is never dialled. */
class Site implements AsyncDisposable {
  readonly hub: HubSearch;
  readonly origin: FakeRegistry;
  readonly daemon: Daemon;

  private constructor(hub: HubSearch, origin: FakeRegistry, daemon: Daemon) {
    this.hub = hub;
    this.origin = origin;
    this.daemon = daemon;
  }

  static async start(settings: Readonly<Record<string, unknown>> = {}, ...entries: HubEntry[]): Promise<Site> {
    const hub = await HubSearch.start(...entries);
    const origin = await FakeRegistry.start();
    const upstreams = { 'docker.io': { endpoints: [origin.url, hubEndpoint] } };
    const all = { upstreams, private: { namespaces: ['local/**'] }, access: anyone, ...settings };
    return new Site(hub, origin, await Daemon.start(origin.url, all, hub.url));
  }

  async cache(repository: string, path = repository): Promise<void> {
    this.origin.addImage(repository, 'latest', { layers: [Buffer.from(repository)] });
    expect((await this.daemon.get(`/v2/${path}/manifests/latest`)).status).toBe(200);
  }

  async push(repository: string, authorization?: string): Promise<void> {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    const config = Buffer.from('{}');
    const digest = digestOfBytes(config);
    const uploads = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
    const blob = await this.daemon.get(uploads, { method: 'POST', headers, body: config });
    expect(blob.status).toBe(201);
    const manifest = await this.daemon.get(`/v2/${repository}/manifests/latest`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': mediaTypes.oci.manifest },
      body: JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.oci.manifest,
        config: { mediaType: mediaTypes.oci.config, digest, size: config.length },
        layers: [],
      }),
    });
    expect(manifest.status).toBe(201);
  }

  async search(term: string, more: Readonly<Record<string, string>> = {}, headers: Record<string, string> = {}) {
    const query = new URLSearchParams({ q: term, ...more });
    const answer = await this.daemon.get(`/v1/search?${query.toString()}`, { headers });
    expect(answer.status).toBe(200);
    return (await answer.json()) as Answer;
  }

  async names(term: string, headers: Record<string, string> = {}): Promise<readonly string[]> {
    return (await this.search(term, { n: '100' }, headers)).results.map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
    await this.hub[Symbol.asyncDispose]();
  }
}

interface Answer {
  readonly num_results: number;
  readonly num_pages: number;
  readonly results: readonly Readonly<Record<string, unknown> & { name: string; description: string }>[];
}

const httpd = {
  name: 'httpd',
  description: 'The Apache HTTP Server Project',
  star_count: 4_900,
  is_official: true,
};

test('the engine finds a registry that can search, and is told to show its account', async () => {
  await using site = await Site.start();
  const ping = await site.daemon.get('/v1/_ping');
  expect(ping.status).toBe(200);
  expect(ping.headers.get('x-docker-registry-standalone')).toBe('true');
  expect(ping.headers.get('x-docker-registry-version')).toMatch(/^\d+\.\d+\.\d+$/);
  expect(await ping.json()).toEqual({ standalone: true });
});

test('what is hosted comes first, then what is cached, then what Docker Hub finds, each once', async () => {
  await using site = await Site.start({}, httpd, { name: 'bitnami/apache', description: 'another', star_count: 7 });
  await site.cache('library/httpd');
  await site.cache('team/my-httpd-tools');
  await site.push('local/apache');
  expect(await site.search('HTTPD ')).toEqual({
    query: 'httpd',
    num_results: 3,
    num_pages: 1,
    page: 1,
    page_size: 25,
    results: [
      {
        name: 'httpd',
        description: 'cached here: The Apache HTTP Server Project',
        star_count: 4_900,
        is_official: true,
        is_automated: false,
      },
      {
        name: 'team/my-httpd-tools',
        description: 'cached here',
        star_count: 0,
        is_official: false,
        is_automated: false,
      },
      { name: 'bitnami/apache', description: 'another', star_count: 7, is_official: false, is_automated: false },
    ],
  });
  const [first, ...others] = (await site.search('a')).results;
  expect(first).toMatchObject({ name: 'local/apache', description: 'hosted here' });
  expect(others.map(({ name }) => name)).toEqual(['team/my-httpd-tools']);
});

test('every name found can be pulled by that name', async () => {
  const namespaces = ['*', 'local/**', 'shadow/**'];
  await using site = await Site.start({ private: { namespaces } }, httpd, { name: 'shadow/x' }, { name: 'team/app' });
  await using other = await FakeRegistry.start();
  other.addImage('owner/app', 'latest', { layers: [Buffer.from('x')] });
  const upstreams = {
    'docker.io': { endpoints: [site.origin.url, hubEndpoint] },
    'ghcr.io': { endpoints: [other.url] },
  };
  await site.daemon.reload({ upstreams });
  for (const name of ['library/httpd', 'team/app']) await site.cache(name);
  await site.daemon.get('/v2/ghcr.io/owner/app/manifests/latest');
  await site.push('apache');
  const found = [...(await site.names('library/ht')), ...(await site.names('')), ...(await site.names('ghcr'))];
  // A single segment is private here, and nobody gets another's image under a private name.
  expect(new Set(found)).toEqual(new Set(['library/httpd', 'team/app', 'apache', 'ghcr.io/owner/app']));
  for (const name of new Set(found)) {
    expect((await site.daemon.get(`/v2/${name}/manifests/latest`)).status, name).toBe(200);
  }
});

test('Docker Hub is asked without our account, once for all who ask the same', async () => {
  await using site = await Site.start({}, httpd);
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  site.hub.instead = (_request, response) => {
    void held.then(() => response.end(JSON.stringify({ results: [{ ...httpd }] })));
  };
  const asked = Array.from({ length: 10 }, () => site.names('apache'));
  asked.push(site.names('Apache'));
  release();
  for (const names of await Promise.all(asked)) expect(names).toEqual(['httpd']);
  expect(await site.names('apache')).toEqual(['httpd']);
  expect(site.hub.requests).toHaveLength(1);
  const [request] = site.hub.requests;
  expect(request?.url).toBe('/v1/search?q=apache&n=100');
  expect(request?.headers.authorization).toBeUndefined();
});

test('official images are asked for as the engine asks for them', async () => {
  await using site = await Site.start({ private: { namespaces: ['*'] } }, httpd);
  expect(await site.names('library/httpd')).toEqual(['library/httpd']);
  expect(await site.names('docker.io/library/httpd')).toEqual(['library/httpd']);
  expect(site.hub.queries).toEqual(['httpd']);
});

describe('a private term never reaches Docker Hub: ', () => {
  test.each([
    ['a private name', ['team/secret'], 'team/secret'],
    ['a part of it', ['team/secret'], 'secr'],
    ['more than it', ['team/secret'], 'team/secret-2'],
    ['a private namespace', ['acme/**'], 'acme'],
    ['a part of it', ['acme/**'], 'acm'],
    ['what lies in it', ['acme/**'], 'acme/rocket'],
    ['in capitals', ['acme/**'], 'ACME/Rocket'],
    ['between others', ['acme/**'], 'the acme/rocket image'],
    ['with a tag', ['acme/**'], 'acme/rocket:1.0'],
    ['with its registry', ['acme/**'], 'docker.io/acme/rocket'],
    ['with its registry twice', ['acme/**'], 'index.docker.io/docker.io/acme/rocket'],
    ['unfinished', ['acme/**'], 'acme/rocket-'],
    ['the fixed part of a pattern', ['**/internal'], 'some/internal-tool'],
    ['a single word where such are private', ['*'], 'rocket'],
    ['the same, misspelt', ['*'], 'rocket..x'],
    ['the same, quoted', ['*'], '"rocket"'],
    ['the same beside a public name', ['*'], 'bitnami/apache rocket'],
    ['in the official namespace', ['library/secret'], 'library/secret'],
  ])('%s of %j, looked for as %j', async (_, namespaces, term) => {
    await using site = await Site.start({ private: { namespaces } }, httpd);
    await site.search(term);
    expect(site.hub.requests).toHaveLength(0);
  });

  test.each([
    ['itself', 'one/secret-project'],
    ['a part of it', 'ret-proj'],
    ['it with more', 'one/secret-project-api'],
  ])('a name that is hosted here, though no pattern says so any more: %s', async (_, term) => {
    await using site = await Site.start({ private: { namespaces: ['one/**'] } }, httpd);
    await site.push('one/secret-project');
    await site.daemon.reload({ private: { namespaces: [] } });
    await site.search(term);
    expect(site.hub.requests).toHaveLength(0);
    expect(await site.names('project')).toEqual([]);
    expect(site.hub.requests).toHaveLength(0);
    expect(await site.names('apache')).toEqual(['httpd']);
  });

  test.each(['ghcr.io/owner/app', 'registry.lan:5000/app', 'x quay.io/owner/app', 'localhost/app'])(
    'what another registry has: %s',
    async (term) => {
      await using site = await Site.start({}, httpd);
      await site.daemon.reload({
        upstreams: {
          'docker.io': { endpoints: [site.origin.url, hubEndpoint] },
          'ghcr.io': { endpoints: [site.origin.url] },
        },
      });
      await site.search(term);
      expect(site.hub.requests).toHaveLength(0);
    },
  );

  test('a name without a registry, where those are not Docker Hub’s', async () => {
    await using site = await Site.start({ defaultUpstream: null }, httpd);
    expect(await site.names('apache')).toEqual([]);
    expect(site.hub.requests).toHaveLength(0);
    expect(await site.names('docker.io/apache')).toEqual(['docker.io/httpd']);
    expect(site.hub.queries).toEqual(['apache']);
  });

  test('everything, which is what an empty term finds', async () => {
    await using site = await Site.start({}, httpd);
    await site.push('local/apache');
    expect(await site.names('')).toEqual(['local/apache']);
    expect(await (await site.daemon.get('/v1/search')).json()).toMatchObject({ num_results: 1 });
    expect(site.hub.requests).toHaveLength(0);
  });
});

test('Docker Hub’s search is asked only where an endpoint is Docker Hub itself, and not where it is switched off', async () => {
  await using site = await Site.start({}, httpd);
  for (const upstream of [
    { endpoints: [site.origin.url] },
    { endpoints: ['https://registry-1.docker.io.evil.example'] },
    { endpoints: [site.origin.url, hubEndpoint], search: false },
  ]) {
    await site.daemon.reload({ upstreams: { 'docker.io': upstream } });
    expect(await site.names('apache')).toEqual([]);
  }
  expect(site.hub.requests).toHaveLength(0);
  await site.daemon.reload({ upstreams: { 'docker.io': { endpoints: ['https://index.docker.io'] } } });
  expect(await site.names('apache')).toEqual(['httpd']);
});

describe('what is here is found all the same, and Docker Hub left alone for a while, when its search', () => {
  test.each<[string, (site: Site) => void | Promise<void>]>([
    ['is dead', (site) => site.hub.kill()],
    ['never answers', (site) => void (site.hub.instead = () => undefined)],
    [
      'breaks off',
      (site) => void (site.hub.instead = (_, response) => response.write('{"results":[', () => response.destroy())),
    ],
    ['never ends', (site) => void (site.hub.instead = (_, response) => void response.write('{"results":['))],
    ['limits us', (site) => void (site.hub.instead = (_, response) => void response.writeHead(429).end('slow down'))],
    ['fails', (site) => void (site.hub.instead = (_, response) => void response.writeHead(503).end())],
    ['is a captive portal', (site) => void (site.hub.instead = (_, response) => void response.end('<html>Log in'))],
    [
      'answers with something else',
      (site) => void (site.hub.instead = (_, response) => void response.end('{"results":{}}')),
    ],
    [
      'answers without an end',
      (site) => void (site.hub.instead = (_, response) => void response.end(`{"results":["${'x'.repeat(600_000)}"]}`)),
    ],
    [
      'redirects in a circle',
      (site) =>
        void (site.hub.instead = (request, response) => void response.writeHead(302, { location: request.url }).end()),
    ],
  ])('%s', async (_, spoil) => {
    await using site = await Site.start({}, httpd);
    await site.cache('team/apache');
    await spoil(site);
    const startedAt = performance.now();
    expect(await site.names('apache')).toEqual(['team/apache']);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const asked = site.hub.requests.length;
    await site.hub.revive();
    site.hub.instead = undefined;
    expect(await site.names('apache')).toEqual(['team/apache']);
    expect(await site.names('pach')).toEqual(['team/apache']);
    expect(site.hub.requests.length).toBe(asked);
  });
});

test('of Docker Hub’s answer only what is true to form is passed on', async () => {
  await using site = await Site.start(
    {},
    httpd,
    { name: 'Not A Name' },
    { name: 'a/../b' },
    { name: 'x/y', description: null },
  );
  site.hub.entries = [
    ...site.hub.entries,
    { name: 'evil/one', description: '\u001b[31mred\u0007\nand a second line' },
    { name: 'evil/two', star_count: -1 },
    { name: 'evil/three', is_official: 'yes' as unknown as boolean },
    { name: 'httpd', description: 'twice' },
    { name: 'long/one', description: 'x'.repeat(10_000) },
  ];
  const { results } = await site.search('apache');
  expect(results.map(({ name }) => name)).toEqual(['httpd', 'x/y', 'evil/one', 'long/one']);
  expect(results[2]?.description).toBe('[31mred and a second line');
  expect(results[3]?.description.length).toBeLessThanOrEqual(200);
});

describe('only what the asker may pull is found', () => {
  const rules = [
    { repositories: ['local/secret/**'], pull: ['alice'], push: ['alice'] },
    { repositories: ['docker.io/library/httpd'], pull: ['alice'] },
    { repositories: ['docker.io/evil/**'], pull: [] },
  ];
  const alice = { authorization: basic('alice', 'right') };

  async function start(access: object): Promise<Site> {
    const site = await Site.start({ access: { ...anyone, rules, ...access } }, httpd, { name: 'evil/httpd' });
    await writeFile(join(site.daemon.dataPath, 'htpasswd'), `alice:${await hash('right', 4)}\n`, { mode: 0o600 });
    await site.daemon.restart();
    await site.push('local/secret/plan', alice.authorization);
    await site.push('local/open');
    return site;
  }

  test('by rules', async () => {
    await using site = await start({});
    expect(await site.names('local')).toEqual(['local/open']);
    expect(await site.names('local', alice)).toEqual(['local/open', 'local/secret/plan']);
    expect(await site.names('htt')).toEqual([]);
    expect(await site.names('htt', alice)).toEqual(['httpd']);
    expect((await site.daemon.get('/v1/search?q=a', { headers: { authorization: basic('alice', 'no') } })).status).toBe(
      401,
    );
  });

  test('what is hidden is not sent to Docker Hub for somebody who cannot see it', async () => {
    await using site = await start({});
    expect(await site.names('plan')).toEqual([]);
    expect(site.hub.requests).toHaveLength(0);
  });

  test('nothing without an account, where such clients may not pull', async () => {
    await using site = await start({ anonymous: { pull: false, push: true } });
    const refused = await site.daemon.get('/v1/search?q=local');
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ errors: [{ code: 'UNAUTHORIZED' }] });
    expect(await site.names('local', alice)).toEqual(['local/open', 'local/secret/plan']);
  });

  test('what only our account upstream may read is not found', async () => {
    await using origin = await FakeRegistry.start({
      auth: 'token',
      users: { mirror: 'hub-secret' },
      privateRepositories: ['team/secret'],
    });
    origin.addImage('team/secret', 'latest', { layers: [Buffer.from('s')] });
    const upstream = { endpoints: [origin.url], username: 'mirror', password: 'hub-secret' };
    await using site = await Site.start({
      upstreams: { 'docker.io': { ...upstream, privateRepositories: 'anyone' } },
    });
    await site.daemon.get('/v2/team/secret/manifests/latest');
    expect(await site.names('secret')).toEqual(['team/secret']);
    await site.daemon.reload({ upstreams: { 'docker.io': upstream } });
    expect(await site.names('secret')).toEqual([]);
  });
});

test('pages miss none and repeat none', async () => {
  await using site = await Site.start({}, ...Array.from({ length: 5 }, (_, index) => ({ name: `hub/n${index}` })));
  for (const name of ['local/a', 'local/b', 'local/c']) await site.push(name);
  await site.cache('team/n');
  const all = await site.names('n');
  expect(all).toEqual(['team/n', 'hub/n0', 'hub/n1', 'hub/n2', 'hub/n3', 'hub/n4']);
  const paged: string[] = [];
  for (let page = 1; page <= 4; page++) {
    const answer = await site.search('n', { n: '2', page: String(page) });
    expect(answer).toMatchObject({ num_results: 6, num_pages: 3, page, page_size: 2 });
    paged.push(...answer.results.map(({ name }) => name));
  }
  expect(paged).toEqual(all);
  expect(site.hub.requests).toHaveLength(1);
  expect(await site.search('n', { n: '1000' })).toMatchObject({ page_size: 100 });
});

test.each([
  ['n=0', 'PAGINATION_NUMBER_INVALID'],
  ['n=-1', 'PAGINATION_NUMBER_INVALID'],
  ['n=x', 'PAGINATION_NUMBER_INVALID'],
  ['n=1&n=2', 'PAGINATION_NUMBER_INVALID'],
  ['page=0', 'PAGINATION_NUMBER_INVALID'],
  ['page=9999999999', 'PAGINATION_NUMBER_INVALID'],
  ['q=a&q=b', 'NAME_INVALID'],
  [`q=${'a'.repeat(256)}`, 'NAME_INVALID'],
  ['q=a%00', 'NAME_INVALID'],
  ['q=a%0d%0ab', 'NAME_INVALID'],
  ['q=%e2%80%ae', 'NAME_INVALID'],
])('%s is refused, and Docker Hub hears nothing of it', async (query, code) => {
  await using site = await Site.start({}, httpd);
  const answer = await site.daemon.get(`/v1/search?${query}`);
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ errors: [{ code }] });
  expect(site.hub.requests).toHaveLength(0);
});

test.each([`'; DROP TABLE links; --`, '%', '_', '*', '[', '"', '\\', 'ünïcödé', '🐳'])(
  'a term is nothing but text: %s',
  async (term) => {
    await using site = await Site.start();
    await site.push('local/a');
    expect(await site.names(term)).toEqual([]);
    expect(await site.names('loc')).toEqual(['local/a']);
  },
);
