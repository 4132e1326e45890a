import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { clients, pushers } from './support/clients/all.ts';
import { startBuildah } from './support/clients/buildah.ts';
import type { Client } from './support/clients/client.ts';
import { startDockerd } from './support/clients/dockerd.ts';
import { startSkopeo } from './support/clients/skopeo.ts';
import { CountingProxy } from './support/counting-proxy.ts';
import { Entrepot, everyonePushes } from './support/entrepot.ts';
import { ask } from './support/http.ts';
import { largestLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { Cleanup, freePort, Scratch } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';
import { makeTeamImage, makeTeamIndex } from './support/team-image.ts';
import { differences, type Files, filesBelow, overlay, sha256OfFile } from './support/tree.ts';

showLogsOfFailedTests();

const site = sharedSite();
const namespaces = ['*', 'local/**', 'yidao620/**'];
const manyLayers = 60;
/** From which on an engine asks whether a layer is there already before it sends it (moby, `push_v2.go`). */
const askedAbout = 10_000_000;

function startHost(): Promise<Entrepot> {
  return Entrepot.start({ upstream: site.upstream, namespaces, access: everyonePushes });
}

async function digestOf(entrepot: Entrepot, repository: string, tag: string): Promise<string> {
  const { status, headers } = await ask(`${entrepot.url}/v2/${repository}/manifests/${tag}`, 'HEAD');
  return headers.get('docker-content-digest') ?? `status ${status}`;
}

async function catalogAt(entrepot: Entrepot, path: string): Promise<unknown> {
  return JSON.parse((await ask(`${entrepot.url}${path}`)).text);
}

test('docker tag, push, catalog, rmi, and a pull by another host: the same digest comes back', async () => {
  await using entrepot = await startHost();
  await using one = await startDockerd(entrepot);
  await using another = await startDockerd(entrepot);
  await using made = await makeTeamImage('httpd');
  const here = `127.0.0.1:${entrepot.port}`;
  site.upstream.forget();
  await one.load(made.folder, `${here}/built:here`);

  for (const name of ['test', 'user241:v1.0', 'newhello', 'yidao620/httpd:v1']) {
    await one.docker(['tag', `${here}/built:here`, `${here}/${name}`]);
    const told = await one.docker(['push', `${here}/${name}`]);
    const [repository = '', tag = 'latest'] = name.split(':');
    expect(told).toContain(`digest: ${await digestOf(entrepot, repository, tag)}`);
  }
  const repositories = ['newhello', 'test', 'user241', 'yidao620/httpd'];
  expect(await catalogAt(entrepot, '/v2/_catalog')).toEqual({ repositories });
  expect(await catalogAt(entrepot, '/v2/catalog')).toEqual({ repositories });
  const tags = { name: 'user241', tags: ['v1.0'] };
  expect(await catalogAt(entrepot, '/v2/user241/tags/list')).toEqual(tags);

  const image = `${here}/test:latest`;
  const pushed = await one.digest(image);
  await one.docker(['rmi', image]);
  await another.pull(image);
  expect(await another.digest(image)).toBe(pushed);
  expect(differences(made.image.files, await another.files(image))).toEqual([]);
  expect(site.upstream.requests).toEqual([]);
  expect(entrepot.complaints).toEqual([]);
});

test('a push to what is not hosted here is denied by a message that names what is', async () => {
  await using entrepot = await startHost();
  await using engine = await startDockerd(entrepot);
  await using made = await makeTeamImage('stranger');
  site.upstream.forget();
  const image = `127.0.0.1:${entrepot.port}/stranger/app:1.0`;
  await engine.load(made.folder, image);
  await expect(engine.push(image)).rejects.toThrow(/denied.*yidao620\/\*\*.*private\.namespaces/s);
  expect(site.upstream.requests).toEqual([]);
});

test('of several tags on one image one is deleted, and the others still pull; with the manifest all of them go', async () => {
  await using entrepot = await startHost();
  await using engine = await startDockerd(entrepot);
  await using made = await makeTeamImage('tags');
  const image = `127.0.0.1:${entrepot.port}/test`;
  for (const tag of ['1', '2', '3']) {
    await engine.load(made.folder, `${image}:${tag}`);
    await engine.push(`${image}:${tag}`);
  }
  const digest = await digestOf(entrepot, 'test', '1');
  expect(await digestOf(entrepot, 'test', '3')).toBe(digest);
  const forget = async (): Promise<void> => {
    await engine.docker(['system', 'prune', '--all', '--force']);
  };
  const all = `${entrepot.url}/v2/test`;

  expect((await ask(`${all}/manifests/2`, 'DELETE')).status).toBe(202);
  expect(JSON.parse((await ask(`${all}/tags/list`)).text)).toEqual({ name: 'test', tags: ['1', '3'] });
  await forget();
  await expect(engine.pull(`${image}:2`)).rejects.toThrow('manifest unknown');
  for (const tag of ['1', '3']) {
    await forget();
    await engine.pull(`${image}:${tag}`);
    expect(await engine.digest(`${image}:${tag}`)).toBe(digest);
    expect(differences(made.image.files, await engine.files(`${image}:${tag}`))).toEqual([]);
  }

  expect((await ask(`${all}/manifests/${digest}`, 'DELETE')).status).toBe(202);
  for (const reference of ['1', '3', digest]) {
    expect((await ask(`${all}/manifests/${reference}`)).error?.code).toBe('MANIFEST_UNKNOWN');
  }
  expect((await ask(`${all}/manifests/${digest}`, 'DELETE')).status).toBe(404);
  await forget();
  await expect(engine.pull(`${image}:1`)).rejects.toThrow('manifest unknown');
});

test('what one kind of client pushes, every kind pulls: byte for byte, and all know it by the same digest', async () => {
  await using entrepot = await startHost();
  await using cleanup = new Cleanup();
  const all: Client[] = [];
  for (const start of pushers) all.push(cleanup.use(await start(entrepot)));
  site.upstream.forget();

  for (const pusher of all) {
    await using made = await makeTeamImage(pusher.name);
    const image = `127.0.0.1:${entrepot.port}/local/by-${pusher.name}:1.0`;
    await pusher.load(made.folder, image);
    await pusher.push(image);
    await pusher.remove(image);
    const digest = await digestOf(entrepot, `local/by-${pusher.name}`, '1.0');
    for (const puller of all) {
      await puller.pull(image);
      const who = `${pusher.name} pushes, ${puller.name} pulls`;
      expect(await puller.digest(image), who).toBe(digest);
      expect(differences(made.image.files, await puller.files(image)), who).toEqual([]);
    }
  }
  expect(site.upstream.requests).toEqual([]);
  expect(entrepot.complaints).toEqual([]);
});

test('through a mirror setting a private name is the hosted image, for every kind of client', async () => {
  await using entrepot = await startHost();
  await using made = await makeTeamImage('mirrored');
  await using skopeo = await startSkopeo(entrepot);
  await skopeo.copy(`dir:${made.folder}`, `docker://127.0.0.1:${entrepot.port}/local/app:1.0`);
  site.upstream.forget();
  for (const { client, start } of clients) {
    await using puller = await start(entrepot);
    await puller.pull('local/app:1.0');
    expect(differences(made.image.files, await puller.files('local/app:1.0')), client).toEqual([]);
  }
  expect(site.upstream.requests).toEqual([]);
});

test('skopeo copy --all takes a multi-platform index here, and from one repository to another, with every platform', async () => {
  await using entrepot = await startHost();
  await using skopeo = await startSkopeo(entrepot);
  await using engine = await startDockerd(entrepot);
  await using made = await makeTeamIndex('multi');
  const here = `docker://127.0.0.1:${entrepot.port}`;
  await skopeo.copy(`dir:${made.folder}`, `${here}/local/multi:1.0`, '--all');
  await skopeo.copy(`${here}/local/multi:1.0`, `${here}/local/moved:1.0`, '--all');

  const expected = `sha256:${await sha256OfFile(join(made.folder, 'manifest.json'))}`;
  expect(await digestOf(entrepot, 'local/multi', '1.0')).toBe(expected);
  expect(await digestOf(entrepot, 'local/moved', '1.0')).toBe(expected);
  for (const { manifest, layers, config } of [made.image, made.other]) {
    expect(await digestOf(entrepot, 'local/moved', manifest.digest)).toBe(manifest.digest);
    for (const { digest } of [...layers, config]) {
      expect((await ask(`${entrepot.url}/v2/local/moved/blobs/${digest}`, 'HEAD')).status).toBe(200);
    }
  }
  const image = `127.0.0.1:${entrepot.port}/local/moved:1.0`;
  await engine.pull(image);
  expect(await engine.digest(image)).toBe(expected);
  expect(differences(made.image.files, await engine.files(image))).toEqual([]);
});

test(`an image of ${manyLayers} layers is pushed by an engine, and pulled by another`, async () => {
  await using entrepot = await startHost();
  await using one = await startDockerd(entrepot);
  await using another = await startDockerd(entrepot);
  await using made = await makeTeamImage('high', manyLayers);
  const image = `127.0.0.1:${entrepot.port}/local/high:1.0`;
  await one.load(made.folder, image);
  await one.push(image);
  await another.pull(image);
  expect(await another.digest(image)).toBe(await digestOf(entrepot, 'local/high', '1.0'));
  expect(differences(made.image.files, await another.files(image))).toEqual([]);
});

test('an artifact with a subject, copied here by skopeo, is found through the referrers of its subject', async () => {
  await using entrepot = await startHost();
  await using skopeo = await startSkopeo(entrepot);
  await using made = await makeTeamImage('signed');
  await using artifact = await makeArtifact(made.image.manifest);
  const here = `docker://127.0.0.1:${entrepot.port}/local/signed`;
  await skopeo.copy(`dir:${made.folder}`, `${here}:1.0`);
  await skopeo.copy(`dir:${artifact.folder}`, `${here}:signature`, '--preserve-digests');

  const referrers = `${entrepot.url}/v2/local/signed/referrers/${made.image.manifest.digest}`;
  const [found, ofType, ofOther] = [
    await ask(referrers),
    await ask(`${referrers}?artifactType=${encodeURIComponent(artifact.artifactType)}`),
    await ask(`${referrers}?artifactType=application%2Fother`),
  ];
  const { artifactType, digest, annotations } = artifact;
  const entry = { artifactType, digest, annotations };
  expect(JSON.parse(found.text)).toMatchObject({ manifests: [entry] });
  expect(JSON.parse(ofType.text)).toMatchObject({ manifests: [entry] });
  expect(ofType.headers.get('oci-filters-applied')).toBe('artifactType');
  expect(JSON.parse(ofOther.text)).toMatchObject({ manifests: [] });
});

test('an image that an engine built on a cached base sends its new layer, and not the large ones of the base', async () => {
  const { app } = site.images;
  await using entrepot = await startHost();
  await using engine = await startDockerd(entrepot);
  await using another = await startDockerd(entrepot);
  await using proxy = new CountingProxy({ at: 'mirror', port: await freePort(), targetPort: entrepot.port });
  await proxy.start();
  await using scratch = await Scratch.create('added');
  await writeAdded(scratch.path);
  const image = `127.0.0.1:${proxy.port}/local/app:1.0`;

  await engine.pull(app.name);
  const container = (await engine.docker(['create', '--network', 'none', app.name])).trim();
  await engine.docker(['cp', `${scratch.path}/.`, `${container}:/`]);
  await engine.docker(['commit', container, image]);
  await engine.push(image);

  const sent = proxy.requests.reduce((sum, request) => sum + request.sent, 0);
  const small = app.layers.filter(({ size }) => size <= askedAbout).reduce((sum, { size }) => sum + size, 0);
  console.log(`built on a base of ${sizeOf(app)} bytes, ${small} of them in small layers: ${sent} bytes were sent`);
  expect(largestLayer(app).size).toBeGreaterThan(2 * askedAbout);
  expect(sent).toBeLessThan(small + 1_000_000);
  // All of it is here nevertheless.
  await entrepot.restart({ upstream: { url: 'http://127.0.0.1:1' } });
  await another.pull(image);
  const expected = overlay(app.files, await filesBelow(scratch.path));
  expect(differences(expected, withoutOwnFiles(await another.files(image)))).toEqual([]);
});

test('a cached image is copied to a private name without a byte of its layers being sent', async () => {
  const { app } = site.images;
  await using entrepot = await startHost();
  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(app.name);
  await entrepot.idle();
  await using proxy = new CountingProxy({ at: 'mirror', port: await freePort(), targetPort: entrepot.port });
  await proxy.start();
  const here = `docker://127.0.0.1:${proxy.port}`;
  await skopeo.copy(`${here}/${app.name}`, `${here}/local/copy:1.0`);
  const sent = proxy.requests.reduce((sum, request) => sum + request.sent, 0);
  expect(sent).toBeLessThan(10_000);
  expect(await digestOf(entrepot, 'local/copy', '1.0')).toBe(app.manifest.digest);
});

test('buildah builds on a hosted base, and sends only the new layer', async () => {
  await using entrepot = await startHost();
  await using buildah = await startBuildah(entrepot);
  await using engine = await startDockerd(entrepot);
  await using scratch = await Scratch.create('added');
  await writeAdded(scratch.path);
  await using made = await makeTeamImage('base');
  await using proxy = new CountingProxy({ at: 'mirror', port: await freePort(), targetPort: entrepot.port });
  await proxy.start();
  const [base, image] = [`127.0.0.1:${proxy.port}/local/base:1.0`, `127.0.0.1:${proxy.port}/local/built:1.0`];
  await engine.load(made.folder, base);
  await engine.push(base);

  await buildah.pull(base);
  const before = proxy.requests.length;
  await buildah.build(base, scratch.path, image);
  await buildah.push(image);
  const uploads = proxy.requests.slice(before).filter(({ method }) => method === 'PATCH');
  // The new layer, and the configuration.
  expect(uploads).toHaveLength(2);
  await engine.pull(image);
  const expected = overlay(made.image.files, await filesBelow(scratch.path));
  expect(differences(expected, await engine.files(image))).toEqual([]);
});

async function writeAdded(root: string): Promise<void> {
  await mkdir(join(root, 'srv'), { recursive: true });
  await writeFile(join(root, 'srv', 'added'), 'by the team\n');
}

/** An engine puts files of its own into a container that it creates: they are in its image as empty ones. */
function withoutOwnFiles(files: Files): Files {
  const own = ['.dockerenv', 'dev/console', 'etc/hostname', 'etc/hosts', 'etc/mtab', 'etc/resolv.conf'];
  return new Map([...files].filter(([path]) => !own.includes(path)));
}

function sizeOf({ layers }: { readonly layers: readonly { readonly size: number }[] }): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}

/** A signature of a manifest, in the form of skopeo's `dir:`. */
async function makeArtifact(subject: { readonly digest: string; readonly size: number; readonly mediaType: string }) {
  const scratch = await Scratch.create('artifact');
  const keep = async (content: string) => {
    const file = scratch.file('next');
    await writeFile(file, content);
    const hex = await sha256OfFile(file);
    await writeFile(scratch.file(hex), await readFile(file));
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(content) };
  };
  const artifactType = 'application/vnd.example.signature';
  const annotations = { 'org.example.signer': 'the team' };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', ...(await keep('{}')) },
    layers: [{ mediaType: 'application/octet-stream', ...(await keep('signed')) }],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    annotations,
  });
  const { digest } = await keep(manifest);
  await writeFile(scratch.file('manifest.json'), manifest);
  await writeFile(scratch.file('version'), 'Directory Transport Version: 1.1\n');
  const dispose = () => scratch[Symbol.asyncDispose]();
  return { folder: scratch.path, artifactType, digest, annotations, [Symbol.asyncDispose]: dispose };
}
