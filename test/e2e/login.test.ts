import { expect, test } from 'vitest';
import { startBuildah } from './support/clients/buildah.ts';
import type { Client, Login, Mirror } from './support/clients/client.ts';
import { startContainerd } from './support/clients/containerd.ts';
import { startDockerd } from './support/clients/dockerd.ts';
import { startPodman } from './support/clients/podman.ts';
import { startSkopeo } from './support/clients/skopeo.ts';
import { CountingProxy } from './support/counting-proxy.ts';
import { Entrepot } from './support/entrepot.ts';
import { ask, basic } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { freePort, until } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';
import { makeTeamImage, type TeamImage } from './support/team-image.ts';
import { differences } from './support/tree.ts';

showLogsOfFailedTests();

const site = sharedSite();

const alice: Login = { username: 'alice', password: 'herring-and-hemp' };
const bob: Login = { username: 'bob', password: 'tallow-and-tar' };
const wrong: Login = { ...alice, password: 'herring-and-help' };
/** Known at Docker Hub, and not here. */
const stranger: Login = { username: 'hubuser', password: 'hub-password' };
const noticedMs = 10_000;

const access = {
  anonymous: { pull: true, push: false },
  rules: [{ repositories: ['local/secret', 'local/no-such'], pull: [alice.username], push: [alice.username] }],
};

/** Two users; `local/secret` is for one of them, everything else as it is without rules. */
function startGuarded(): Promise<Entrepot> {
  return Entrepot.start({ upstream: site.upstream, access, users: [alice, bob] });
}

async function publishSecret(entrepot: Entrepot): Promise<TeamImage & { readonly name: string }> {
  await using skopeo = await startSkopeo(entrepot);
  const made = await makeTeamImage('secret');
  const name = `127.0.0.1:${entrepot.port}/local/secret:1.0`;
  await skopeo.load(made.folder, name);
  await skopeo.push(name, alice);
  return { ...made, name };
}

test('with users, an engine that is not logged in pulls through its mirror setting, and may not push', async () => {
  await using entrepot = await startGuarded();
  await using engine = await startDockerd(entrepot);
  const { app } = site.images;
  await engine.pull(app.name);
  expect(differences(app.files, await engine.files(app.name))).toEqual([]);

  await using made = await makeTeamImage('team');
  const image = `127.0.0.1:${entrepot.port}/test:1.0`;
  await engine.load(made.folder, image);
  await expect(engine.push(image)).rejects.toThrow(/denied|unauthorized|authentication required/);
  expect((await ask(`${entrepot.url}/v2/test/manifests/1.0`)).error?.code).toBe('MANIFEST_UNKNOWN');
  expect(entrepot.complaints).toEqual([]);
});

test('docker login: the wrong password fails clearly, the right one lets push, and after logout it is over', async () => {
  await using entrepot = await Entrepot.start({ upstream: site.upstream, access });
  const challenged = async (headers?: Readonly<Record<string, string>>): Promise<boolean> =>
    (await ask(`${entrepot.url}/v2/`, 'GET', { headers: headers ?? {} })).status === 401;
  expect(await challenged()).toBe(false);
  for (const user of [alice, bob]) await entrepot.addUser(user);
  // Nobody tells the daemon: it notices.
  await until('there are users', noticedMs, challenged);
  await using engine = await startDockerd(entrepot);
  await using made = await makeTeamImage('team');
  const here = `127.0.0.1:${entrepot.port}`;
  const image = `${here}/test:1.0`;
  await engine.load(made.folder, image);

  await expect(engine.login(here, wrong)).rejects.toThrow(/401 Unauthorized|unauthorized/i);
  await expect(engine.login(here, stranger)).rejects.toThrow(/401 Unauthorized|unauthorized/i);
  await expect(engine.push(image)).rejects.toThrow(/denied|unauthorized|authentication required/);
  await engine.login(here, alice);
  await engine.push(image);
  const { status, headers } = await ask(`${entrepot.url}/v2/test/manifests/1.0`, 'HEAD');
  expect([status, headers.get('docker-content-digest')]).toEqual([200, await engine.digest(image)]);

  await engine.docker(['logout', here]);
  await engine.docker(['tag', image, `${here}/test:2.0`]);
  await expect(engine.push(`${here}/test:2.0`)).rejects.toThrow(/denied|unauthorized|authentication required/);
  // Who once could push and is no user any more cannot even log in.
  expect(await entrepot.command('user', 'rm', alice.username)).toMatchObject({ code: 0 });
  await until('alice is nobody', noticedMs, () => challenged(basic(alice)));
  await expect(engine.login(here, alice)).rejects.toThrow(/401 Unauthorized|unauthorized/i);
  expect(entrepot.complaints).toEqual([]);
});

const others: readonly ((mirror: Mirror) => Promise<Client>)[] = [
  startDockerd,
  startContainerd,
  startPodman,
  startSkopeo,
  startBuildah,
];

test('a protected image is pushed and pulled by every client with the right credentials, and by none without', async () => {
  await using entrepot = await startGuarded();
  await using secret = await publishSecret(entrepot);
  site.upstream.forget();
  for (const start of others) {
    await using client = await start(entrepot);
    await expect(client.pull(secret.name), client.name).rejects.toThrow();
    await expect(client.pull(secret.name, wrong), client.name).rejects.toThrow();
    await expect(client.pull(secret.name, bob), client.name).rejects.toThrow();
    await client.pull(secret.name, alice);
    expect(differences(secret.image.files, await client.files(secret.name)), client.name).toEqual([]);

    await using made = await makeTeamImage(client.name);
    const mine = `127.0.0.1:${entrepot.port}/local/secret:by-${client.name}`;
    await client.load(made.folder, mine);
    await client.push(mine, alice);
    await expect(client.push(mine, bob), client.name).rejects.toThrow();
  }
  expect(site.upstream.requests).toEqual([]);
  expect(entrepot.complaints).toEqual([]);
});

test('what is protected is 401 for who says nothing, there or not, and is not there for the others', async () => {
  await using entrepot = await startGuarded();
  await using secret = await publishSecret(entrepot);
  const { manifest, layers, config } = secret.image;
  const contents = [
    ...['1.0', 'no-such', manifest.digest].map((reference) => `manifests/${reference}`),
    ...[...layers, config].map(({ digest }) => `blobs/${digest}`),
    ...['tags/list', `referrers/${manifest.digest}`],
  ];
  for (const repository of ['local/secret', 'local/no-such']) {
    for (const content of contents) {
      const url = `${entrepot.url}/v2/${repository}/${content}`;
      const nobody = await ask(url);
      expect([nobody.status, nobody.error?.code], url).toEqual([401, 'UNAUTHORIZED']);
      const scope = `scope="repository:${repository}:pull"`;
      expect(nobody.headers.get('www-authenticate'), url).toMatch(/^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/token",/);
      expect(nobody.headers.get('www-authenticate'), url).toContain(scope);
      expect((await ask(url, 'GET', { headers: basic(wrong) })).status, url).toBe(401);
      const other = await ask(url, 'GET', { headers: basic(bob) });
      expect([other.status, other.error?.code], url).toEqual([404, 'NAME_UNKNOWN']);
    }
  }
  const deletion = `${entrepot.url}/v2/local/secret/manifests/1.0`;
  expect((await ask(deletion, 'DELETE')).status).toBe(401);
  expect((await ask(deletion, 'DELETE', { headers: basic(bob) })).status).toBe(404);
  expect(JSON.parse((await ask(`${entrepot.url}/v2/_catalog`)).text)).toEqual({ repositories: [] });
  const catalog = await ask(`${entrepot.url}/v2/_catalog`, 'GET', { headers: basic(alice) });
  expect(JSON.parse(catalog.text)).toEqual({ repositories: ['local/secret'] });
  expect((await ask(deletion, 'DELETE', { headers: basic(alice) })).status).toBe(202);
});

test('an engine that is logged in to Docker Hub shows those credentials to its mirror, and pulls', async () => {
  await using entrepot = await startGuarded();
  await using proxy = new CountingProxy({ at: 'mirror', port: await freePort(), targetPort: entrepot.port });
  await proxy.start();
  await using engine = await startDockerd(proxy);
  const { app } = site.images;
  await engine.keepLogin('https://index.docker.io/v1/', stranger);
  await engine.pull(app.name);
  expect(differences(app.files, await engine.files(app.name))).toEqual([]);
  // Or this shows nothing.
  expect(proxy.requests.some(({ path, authorized }) => path === '/token' && authorized)).toBe(true);

  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(app.name, stranger);
  expect(await skopeo.digest(app.name)).toBe(app.manifest.digest);
  const scope = (actions: string): string =>
    `${entrepot.url}/token?service=entrepot&scope=repository:library/x:${actions}`;
  const headers = basic(stranger);
  expect((await ask(scope('pull'), 'GET', { headers })).status).toBe(200);
  expect((await ask(scope('pull,push'), 'GET', { headers })).status).toBe(401);
  expect((await ask(`${entrepot.url}/token?service=entrepot`, 'GET', { headers })).status).toBe(401);
});
