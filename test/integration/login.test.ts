import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { accountFiles } from '../../src/access/accounts.ts';
import { EditAccounts } from '../../src/access/edit-accounts.ts';
import { parseUserName } from '../../src/access/user-name.ts';
import { Daemon } from '../support/daemon.ts';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { annsRule, LoginSite, users } from '../support/login-site.ts';
import { challengeIn, manifestOf, RegistryUser, tokenIn } from '../support/registry-user.ts';

/** Resolves when the daemon has seen it. */
async function machine(site: LoginSite, ...wish: Parameters<LoginSite['machineToken']>): Promise<RegistryUser> {
  const who = RegistryUser.named(site.daemon, 'ann', await site.machineToken(...wish));
  await expect.poll(async () => (await who.ask('GET', '/v2/')).status, { timeout: 10_000 }).toBe(200);
  return who;
}

/** As the command does. */
async function collectGarbage(daemon: Daemon): Promise<void> {
  const body = await new Promise<string>((resolve, reject) => {
    const asked = request({
      socketPath: join(daemon.dataPath, 'entrepot.sock'),
      method: 'POST',
      path: '/api/v1/gc',
      agent: false,
      headers: { 'content-type': 'application/json' },
    });
    asked.once('response', (response) => {
      text(response).then(resolve, reject);
    });
    asked.on('error', reject);
    asked.end(JSON.stringify({ dryRun: false }));
  });
  expect(body).toContain('removed');
}

async function catalogOf(who: RegistryUser): Promise<readonly string[] | number> {
  const { status, body } = await who.ask('GET', '/v2/_catalog');
  return status === 200 ? (JSON.parse(body) as { readonly repositories: readonly string[] }).repositories : status;
}

describe('without users', () => {
  test('there is no challenge anywhere, and a push is denied in words that say what to do', async () => {
    await using origin = await FakeRegistry.start();
    origin.addImage('library/app', '1.0', { layers: [randomBytes(500)] });
    await using daemon = await Daemon.start(origin.url);
    for (const who of [new RegistryUser(daemon), RegistryUser.named(daemon, 'hubuser', 'hub password')]) {
      for (const [method, path, status] of [
        ['GET', '/v2/', 200],
        ['GET', '/v2/library/app/manifests/1.0', 200],
        ['GET', '/v2/_catalog', 200],
        ['GET', '/v2/local/a/tags/list', 200],
        ['GET', '/v2/local/a/manifests/1.0', 404],
        ['POST', '/v2/local/a/blobs/uploads/', 403],
        ['PUT', '/v2/local/a/manifests/1.0', 403],
        ['DELETE', '/v2/local/a/manifests/1.0', 403],
        ['POST', '/v2/library/app/blobs/uploads/', 403],
      ] as const) {
        const answer = await who.ask(method, path, method === 'PUT' ? { body: '{}' } : {});
        expect(answer.status, `${method} ${path}`).toBe(status);
        expect(answer.headers.get('www-authenticate')).toBeNull();
        if (status === 403) {
          expect(answer.code).toBe('DENIED');
          expect(answer.message).toContain('entrepot user add');
        }
      }
    }
  });

  test('what rules keep from anonymous is denied, and the message names them', async () => {
    await using origin = await FakeRegistry.start();
    await using daemon = await Daemon.start(origin.url, { access: { rules: [annsRule] } });
    const denied = await new RegistryUser(daemon).ask('GET', '/v2/local/ann/app/manifests/1.0');
    expect(denied).toMatchObject({ status: 403, code: 'DENIED' });
    expect(denied.headers.get('www-authenticate')).toBeNull();
    expect(denied.message).toMatch(/access\.rules.*entrepot user add/);
  });

  test('anonymous.push lets everybody push', async () => {
    await using origin = await FakeRegistry.start();
    await using daemon = await Daemon.start(origin.url, { access: { anonymous: { pull: true, push: true } } });
    await new RegistryUser(daemon).pushImage('local/a', '1.0', 'layer');
  });

  test('the first user makes himself felt without a restart, and the last one who goes too', async () => {
    await using origin = await FakeRegistry.start();
    await using daemon = await Daemon.start(origin.url);
    const anonymous = new RegistryUser(daemon);
    expect((await anonymous.ask('GET', '/v2/')).status).toBe(200);
    const accounts = new EditAccounts(accountFiles(daemon.dataPath, undefined));
    const name = parseUserName('ann');
    if (!name.ok) throw new Error(name.failure.reason);
    expect(await accounts.setPassword(name.value, users.ann)).toEqual({ ok: true, value: true });
    await expect.poll(async () => (await anonymous.ask('GET', '/v2/')).status, { timeout: 10_000 }).toBe(401);
    const ann = RegistryUser.named(daemon, 'ann', users.ann);
    await ann.pushImage('local/a', '1.0', 'layer');
    expect((await anonymous.ask('GET', '/v2/local/a/manifests/1.0')).status).toBe(200);
    await rm(accountFiles(daemon.dataPath, undefined).htpasswd);
    await expect.poll(async () => (await anonymous.ask('GET', '/v2/')).status, { timeout: 10_000 }).toBe(200);
  });
});

describe('logging in', () => {
  test('GET /v2/ tells where to get a token, for whoever brings nothing, and the realm is there', async () => {
    await using site = await LoginSite.start();
    for (const who of [site.anonymous, new RegistryUser(site.daemon, ' ')]) {
      const ping = await who.ask('GET', '/v2/');
      expect(ping).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
      const { realm, service, scope } = challengeIn(ping);
      expect({ realm, service, scope }).toEqual({
        realm: `${site.daemon.url}/token`,
        service: 'entrepot',
        scope: undefined,
      });
    }
    expect((await fetch(`${site.daemon.url}/token?service=entrepot`)).status).toBe(200);
    expect((await site.ann.ask('GET', '/v2/')).status).toBe(200);
    expect((await (await site.ann.withToken()).ask('GET', '/v2/')).status).toBe(200);
    expect((await (await site.anonymous.withToken()).ask('GET', '/v2/')).status).toBe(200);
  });

  test('what anonymous may pull is answered without any token', async () => {
    await using site = await LoginSite.start();
    site.origin.addImage('library/app', '1.0', { layers: [randomBytes(500)] });
    expect((await site.anonymous.ask('GET', '/v2/library/app/manifests/1.0')).status).toBe(200);
    expect(await catalogOf(site.anonymous)).toEqual(['library/app']);
    const engine = await site.anonymous.withToken('repository:library/app:pull');
    expect((await engine.ask('GET', '/v2/library/app/manifests/1.0')).status).toBe(200);
  });

  test('an answered token reads as Docker and containerd read it', async () => {
    await using site = await LoginSite.start();
    for (const answer of [
      await site.ann.askToken('repository:local/a:pull,push'),
      await site.anonymous.ask('POST', '/token', {
        body: 'grant_type=password&username=ann&password=ann-password&service=entrepot&scope=repository:local/a:pull',
      }),
    ]) {
      expect(answer.headers.get('cache-control')).toBe('no-store');
      const body = JSON.parse(answer.body) as Record<string, unknown>;
      expect(body).toMatchObject({ token: expect.any(String) as string, expires_in: 300 });
      expect(body['access_token']).toBe(body['token']);
      // Go's clients read it into a time.Time: a number fails the whole answer.
      expect(body['issued_at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/);
      expect(body).not.toHaveProperty('refresh_token');
    }
  });

  test.each([
    ['the right password', 'ann', users.ann, 200],
    ['a wrong password', 'ann', 'wrong', 401],
    ['an empty password', 'ann', '', 401],
    ['an unknown user', 'eve', users.ann, 401],
  ])('with %s by Basic, by GET and by POST', async (_, user, password, status) => {
    await using site = await LoginSite.start();
    const who = RegistryUser.named(site.daemon, user, password);
    const form = new URLSearchParams({ grant_type: 'password', username: user, password, service: 'entrepot' });
    const body = form.toString();
    for (const answer of [
      await who.ask('GET', '/v2/'),
      await who.askToken(),
      await who.askToken('repository:local/a:pull,push'),
      await site.anonymous.ask('POST', '/token', { body }),
      await site.anonymous.ask('POST', '/token', { body: `${body}&scope=repository:local/a:push` }),
    ]) {
      expect(answer.status).toBe(status);
      if (status === 401) {
        expect(answer.code).toBe('UNAUTHORIZED');
        expect(challengeIn(answer)['realm']).toBe(`${site.daemon.url}/token`);
      }
    }
  });

  test('with what is for Docker Hub an engine pulls as anybody, and neither logs in nor pushes', async () => {
    await using site = await LoginSite.start();
    site.origin.addImage('library/app', '1.0', { layers: [randomBytes(500)] });
    const hub = RegistryUser.named(site.daemon, 'hubuser', 'hub password');
    const puller = await hub.withToken('repository:library/app:pull');
    expect((await puller.ask('GET', '/v2/library/app/manifests/1.0')).status).toBe(200);
    expect((await puller.ask('POST', '/v2/local/a/blobs/uploads/')).status).toBe(401);
    expect((await hub.askToken()).status).toBe(401);
    expect((await hub.askToken('repository:library/app:pull,push')).status).toBe(401);
    // An identity token of theirs comes by POST, and there is no way back to GET.
    const form = { grant_type: 'refresh_token', refresh_token: 'theirs', service: 'entrepot', client_id: 'docker' };
    const post = (scope?: string) =>
      site.anonymous.ask('POST', '/token', {
        body: new URLSearchParams({ ...form, ...(scope === undefined ? {} : { scope }) }).toString(),
      });
    tokenIn(await post('repository:library/app:pull'));
    expect((await post()).status).toBe(401);
    expect((await post('repository:library/app:push')).status).toBe(401);
  });

  test('a challenge names the scope that lets the same request through', async () => {
    await using site = await LoginSite.start();
    const image = await site.ann.pushImage('local/ann/app', '1.0', 'layer');
    for (const [method, path, scope, status] of [
      ['HEAD', '/v2/local/ann/app/manifests/1.0', 'repository:local/ann/app:pull', 200],
      ['GET', '/v2/local/ann/app/manifests/1.0?ns=docker.io', 'repository:local/ann/app:pull', 200],
      ['GET', `/v2/docker.io/local/ann/app/blobs/${image.layer}`, 'repository:docker.io/local/ann/app:pull', 200],
      ['GET', '/v2/local/ann/app/tags/list', 'repository:local/ann/app:pull', 200],
      ['GET', `/v2/local/ann/app/referrers/${image.manifest}`, 'repository:local/ann/app:pull', 200],
      ['POST', '/v2/local/ann/app/blobs/uploads/', 'repository:local/ann/app:pull,push', 202],
      ['DELETE', '/v2/local/ann/app/manifests/1.0', 'repository:local/ann/app:pull,delete', 202],
    ] as const) {
      const refused = await site.anonymous.ask(method, path);
      expect(refused.status, `${method} ${path}`).toBe(401);
      expect(challengeIn(refused)['scope']).toBe(scope);
      const repeated = await (await site.ann.withToken(scope)).ask(method, path);
      expect(repeated.status, `${method} ${path}`).toBe(status);
    }
  });

  test('with a token whose scope has pull and push, a push works from end to end', async () => {
    await using site = await LoginSite.start();
    const pusher = await site.ann.withToken('repository:local/ann/app:pull,push');
    const { layer } = await pusher.pushImage('local/ann/app', '1.0', 'layer');
    expect((await pusher.ask('HEAD', `/v2/local/ann/app/blobs/${layer}`)).status).toBe(200);
    expect((await pusher.ask('GET', '/v2/local/ann/app/manifests/1.0')).status).toBe(200);
  });
});

describe('the catalogue', () => {
  test('has what one may see, however one comes', async () => {
    await using site = await LoginSite.start();
    site.origin.addImage('library/app', '1.0', { layers: [randomBytes(500)] });
    site.origin.addImage('team/secret', '1.0', { layers: [randomBytes(500)] });
    await site.ann.pushImage('local/ann/app', '1.0', 'layer');
    await site.bob.pushImage('local/b', '1.0', 'layer');
    expect((await site.anonymous.ask('GET', '/v2/library/app/manifests/1.0')).status).toBe(200);
    expect((await site.ann.ask('GET', '/v2/team/secret/manifests/1.0')).status).toBe(200);
    const open = ['library/app', 'local/b'];
    const forUsers = [...open, 'team/secret'];
    const forAnn = ['library/app', 'local/ann/app', 'local/b', 'team/secret'];
    const scope = 'registry:catalog:*';
    expect(await catalogOf(site.anonymous)).toEqual(open);
    expect(await catalogOf(await site.anonymous.withToken(scope))).toEqual(open);
    expect(await catalogOf(site.bob)).toEqual(forUsers);
    expect(await catalogOf(await site.bob.withToken(scope))).toEqual(forUsers);
    expect(await catalogOf(site.ann)).toEqual(forAnn);
    expect(await catalogOf(await site.ann.withToken(scope))).toEqual(forAnn);
    // A token that was asked for something else tells nothing of its user here.
    expect(await catalogOf(await site.ann.withToken('repository:local/ann/app:pull'))).toEqual(open);
  });

  test('asks for a login where anonymous may see nothing, and shows him what rules let everybody pull', async () => {
    await using site = await LoginSite.start({ anonymous: { pull: false, push: false } });
    await site.bob.pushImage('local/b', '1.0', 'layer');
    const refused = await site.anonymous.ask('GET', '/v2/_catalog');
    expect(refused.status).toBe(401);
    expect(challengeIn(refused)['scope']).toBe('registry:catalog:*');
    expect(await catalogOf(await site.bob.withToken('registry:catalog:*'))).toEqual(['local/b']);
    await site.daemon.reload({
      access: {
        htpasswd: site.files.htpasswd,
        anonymous: { pull: false, push: false },
        rules: [{ repositories: ['local/b'], pull: ['net:127.0.0.0/8'], push: ['bob'] }],
      },
    });
    await site.bob.pushImage('local/c', '1.0', 'layer');
    expect(await catalogOf(site.anonymous)).toEqual(['local/b']);
  });
});

test('what an upstream gives only to the account is for users, and not for anonymous', async () => {
  await using site = await LoginSite.start();
  const secret = site.origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  const paths = [
    'manifests/1.0',
    `manifests/${secret.manifest.digest}`,
    `blobs/${secret.layers[0]!.digest}`,
    'tags/list',
  ];
  for (const who of [site.ann, await site.ann.withToken('repository:team/secret:pull')]) {
    for (const path of paths) expect((await who.ask('GET', `/v2/team/secret/${path}`)).status, path).toBe(200);
  }
  const elsewhere = await site.ann.withToken('repository:library/app:pull');
  const bounded = await machine(site, 'local/**', ['pull', 'push']);
  for (const who of [site.anonymous, elsewhere, bounded]) {
    for (const path of paths) {
      expect(await who.ask('GET', `/v2/team/secret/${path}`), path).toMatchObject({ status: 403, code: 'DENIED' });
    }
  }
  expect(await catalogOf(bounded)).toEqual([]);
});

describe('what changes takes effect for tokens that were given out', () => {
  test('a user is removed', async () => {
    await using site = await LoginSite.start();
    await site.ann.pushImage('local/ann/app', '1.0', 'layer');
    const holder = await site.ann.withToken('repository:local/ann/app:pull,push');
    await site.files.writeUsers({ bob: users.bob });
    const status = async (who: RegistryUser) => (await who.ask('GET', '/v2/local/ann/app/manifests/1.0')).status;
    await expect.poll(() => status(holder), { timeout: 10_000 }).toBe(401);
    expect(challengeIn(await holder.ask('GET', '/v2/'))['error']).toBe('invalid_token');
    expect(await status(site.ann)).toBe(401);
  });

  test('a password is changed', async () => {
    await using site = await LoginSite.start();
    const holder = await site.ann.withToken('repository:local/ann/app:pull,push');
    await site.files.writeUsers({ ...users, ann: 'another' });
    const status = async (who: RegistryUser) => (await who.ask('GET', '/v2/local/ann/app/tags/list')).status;
    await expect.poll(() => status(holder), { timeout: 10_000 }).toBe(401);
    expect(await status(site.ann)).toBe(401);
    expect(await status(RegistryUser.named(site.daemon, 'ann', 'another'))).toBe(200);
  });

  test('rules are loaded anew', async () => {
    await using site = await LoginSite.start();
    const holder = await site.ann.withToken('repository:local/ann/app:pull,push');
    expect((await holder.ask('GET', '/v2/local/ann/app/tags/list')).status).toBe(200);
    await site.daemon.reload({
      access: { htpasswd: site.files.htpasswd, rules: [{ repositories: ['local/**'], pull: ['bob'] }] },
    });
    expect(await holder.ask('GET', '/v2/local/ann/app/tags/list')).toMatchObject({ status: 404, code: 'NAME_UNKNOWN' });
    expect((await site.bob.ask('GET', '/v2/local/ann/app/tags/list')).status).toBe(200);
    expect((await site.bob.ask('POST', '/v2/local/ann/app/blobs/uploads/')).status).toBe(404);
  });
});

test('a machine token does what it was made for, directly and by way of /token', async () => {
  await using site = await LoginSite.start();
  await site.ann.pushImage('local/ann/app', '1.0', 'layer');
  const bounded = await machine(site, 'local/ann/*', ['pull']);
  const all = 'repository:local/ann/app:pull,push,delete';
  for (const who of [bounded, await bounded.withToken(all, 'repository:local/a:pull,push')]) {
    expect((await who.ask('GET', '/v2/local/ann/app/manifests/1.0')).status).toBe(200);
    expect((await who.ask('POST', '/v2/local/ann/app/blobs/uploads/')).status).toBe(404);
    expect((await who.ask('DELETE', '/v2/local/ann/app/manifests/1.0')).status).toBe(404);
    expect((await who.ask('POST', '/v2/local/a/blobs/uploads/')).status).toBe(404);
  }
});

test('who may push may delete, unless the rule says who', async () => {
  await using site = await LoginSite.start({
    rules: [
      { repositories: ['local/kept/**'], push: ['ann', 'bob'], delete: ['bob'] },
      { repositories: ['local/both/**'], push: ['ann', 'bob'] },
    ],
  });
  for (const [name, status] of [
    ['local/both/app', 202],
    ['local/kept/app', 404],
  ] as const) {
    const { layer, manifest } = await site.ann.pushImage(name, '1.0', 'layer');
    for (const path of [`manifests/1.0`, `manifests/${manifest}`, `blobs/${layer}`]) {
      expect((await site.ann.ask('DELETE', `/v2/${name}/${path}`)).status, `${name}/${path}`).toBe(status);
    }
  }
  expect((await site.bob.ask('DELETE', '/v2/local/kept/app/manifests/1.0')).status).toBe(202);
});

test('a push outside the private namespaces is denied in words that name them, after a login where there are users', async () => {
  await using site = await LoginSite.start();
  for (const path of ['/v2/library/app/blobs/uploads/', '/v2/docker.io/team/app/blobs/uploads/']) {
    expect((await site.anonymous.ask('POST', path)).status).toBe(401);
    const denied = await site.ann.ask('POST', path);
    expect(denied).toMatchObject({ status: 403, code: 'DENIED' });
    expect(denied.message).toContain('local/**');
  }
  expect((await site.ann.putManifest('library/app', '1.0', '{}')).status).toBe(403);
});

describe('a blob that is here already', () => {
  /** Of a digest in a repository that it was not pushed to. */
  const head = async (who: RegistryUser, name: string, digest: string) =>
    (await who.ask('HEAD', `/v2/${name}/blobs/${digest}`)).status;

  test('is linked by the HEAD of somebody who may push there and may pull it elsewhere', async () => {
    await using site = await LoginSite.start();
    const app = site.origin.addImage('library/app', '1.0', { layers: [randomBytes(5000)] });
    const { digest } = app.layers[0]!;
    await site.anonymous.ask('GET', `/v2/library/app/blobs/${digest}`);
    await site.daemon.stored(digest);
    expect(await head(site.anonymous, 'local/a', digest)).toBe(404);
    // To read is all that this token was asked for.
    expect(await head(await site.bob.withToken('repository:local/a:pull'), 'local/a', digest)).toBe(404);
    expect(await head(await site.bob.withToken('repository:local/b:pull,push'), 'local/a', digest)).toBe(404);
    expect(await head(await site.bob.withToken('repository:local/a:pull,push'), 'local/a', digest)).toBe(200);
    expect(await head(site.anonymous, 'local/a', digest)).toBe(200);
    // An image on it needs no more than a config of its own.
    const config = Buffer.from('{}');
    await site.bob.pushBlob('local/a', config);
    const manifest = manifestOf([digestOfBytes(config), config.length], [digest, 5000]);
    expect((await site.bob.putManifest('local/a', '1.0', manifest)).status).toBe(201);
  });

  test('is linked for users where it is an upstream’s that only users have, and not for anonymous nor for a bounded token', async () => {
    await using site = await LoginSite.start({ anonymous: { pull: true, push: true }, rules: [] });
    const secret = site.origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
    const { digest } = secret.layers[0]!;
    expect((await site.ann.ask('GET', `/v2/team/secret/blobs/${digest}`)).status).toBe(200);
    await site.daemon.stored(digest);
    expect(await head(site.anonymous, 'local/anon', digest)).toBe(404);
    expect((await site.anonymous.ask('POST', `/v2/local/anon/blobs/uploads/?mount=${digest}`)).status).toBe(202);
    expect(
      (await site.anonymous.ask('POST', `/v2/local/anon/blobs/uploads/?mount=${digest}&from=team/secret`)).status,
    ).toBe(202);
    const bounded = await machine(site, 'local/**', ['pull', 'push']);
    expect(await head(bounded, 'local/anon', digest)).toBe(404);
    expect((await bounded.ask('POST', `/v2/local/anon/blobs/uploads/?mount=${digest}&from=team/secret`)).status).toBe(
      202,
    );
    expect(await head(site.bob, 'local/bob', digest)).toBe(200);
  });

  test('of another user’s private repository is never linked, by HEAD or by mount', async () => {
    await using site = await LoginSite.start();
    const { layer } = await site.ann.pushImage('local/ann/app', '1.0', 'only for ann');
    const begin = '/v2/local/b/blobs/uploads/';
    expect(await head(site.bob, 'local/b', layer)).toBe(404);
    for (const from of ['&from=local/ann/app', '&from=docker.io/local/ann/app', '']) {
      expect((await site.bob.ask('POST', `${begin}?mount=${layer}${from}`)).status).toBe(202);
    }
    expect(await head(site.bob, 'local/b', layer)).toBe(404);
    expect((await site.ann.ask('POST', `${begin}?mount=${layer}&from=local/ann/app`)).status).toBe(201);
    expect(await head(site.bob, 'local/b', layer)).toBe(200);
  });
});

test('an immutable tag is pushed once, and again only with the same content', async () => {
  await using site = await LoginSite.start(
    {},
    {
      private: { namespaces: ['local/**'], policies: [{ repositories: ['local/**'], immutableTags: ['v*'] }] },
    },
  );
  const first = await site.bob.pushImage('local/b', 'v1', 'first');
  const second = await site.bob.pushImage('local/b', 'latest', 'second');
  expect(await site.bob.putManifest('local/b', 'v1', second.bytes)).toMatchObject({ status: 403, code: 'DENIED' });
  const aside = await site.bob.putManifest('local/b', `${second.manifest}?tag=new&tag=v1`, second.bytes);
  expect(aside).toMatchObject({ status: 403, code: 'DENIED' });
  expect((await site.bob.putManifest('local/b', 'v1', first.bytes)).status).toBe(201);
  const now = await site.bob.ask('HEAD', '/v2/local/b/manifests/v1');
  expect(now.headers.get('docker-content-digest')).toBe(first.manifest);
  expect((await site.bob.ask('HEAD', '/v2/local/b/manifests/new')).status).toBe(404);
});

test('garbage collection keeps the tags that a policy keeps, and no others', async () => {
  await using site = await LoginSite.start(
    {},
    {
      private: {
        namespaces: ['local/**'],
        policies: [{ repositories: ['local/ci/**'], retention: { keepLast: 2, keep: ['v*'] } }],
      },
    },
  );
  for (const tag of ['v1', 'b1', 'b2', 'b3']) {
    await site.bob.pushImage('local/ci/app', tag, tag);
    await site.bob.pushImage('local/other', tag, tag);
  }
  await collectGarbage(site.daemon);
  const tags = async (name: string) =>
    (JSON.parse((await site.bob.ask('GET', `/v2/${name}/tags/list`)).body) as { readonly tags: readonly string[] })
      .tags;
  expect(await tags('local/ci/app')).toEqual(['b2', 'b3', 'v1']);
  expect(await tags('local/other')).toEqual(['b1', 'b2', 'b3', 'v1']);
});
