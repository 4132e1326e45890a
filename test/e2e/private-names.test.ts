import { expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot, everyonePushes } from './support/entrepot.ts';
import { ask } from './support/http.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { Pusher, smallPush } from './support/pusher.ts';

showLogsOfFailedTests();

const routes: readonly { readonly by: string; readonly url: (path: string) => string }[] = [
  { by: 'the plain name', url: (path) => path },
  { by: '?ns=docker.io', url: (path) => `${path}${path.includes('?') ? '&' : '?'}ns=docker.io` },
  { by: '?ns=registry-1.docker.io', url: (path) => `${path}${path.includes('?') ? '&' : '?'}ns=registry-1.docker.io` },
  { by: 'the prefix docker.io/', url: (path) => `docker.io/${path}` },
  { by: 'the prefix index.docker.io/', url: (path) => `index.docker.io/${path}` },
  { by: 'prefix and ns', url: (path) => `docker.io/${path}${path.includes('?') ? '&' : '?'}ns=docker.io` },
];

const absent = `sha256:${'0'.repeat(64)}`;

test('nothing that is asked of a private name, by whatever route, reaches an upstream', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin, access: everyonePushes, tagTtl: '0s' });
  let asked = 0;
  for (const repository of ['test', 'local/app', 'local/deep/er']) {
    // What a stranger owns under that name at Docker Hub.
    origin.addImage(repository.includes('/') ? repository : `library/${repository}`, ['1.0', 'theirs'], {
      layers: [Buffer.from('of a stranger')],
    });
    // By its registry's name, a name of one segment is one of Docker Hub's own: `docker.io/test` is `library/test`.
    for (const { by, url } of repository.includes('/') ? routes : routes.slice(0, 1)) {
      const image = smallPush(`${repository} by ${by}`);
      const at = (path: string): string => `${entrepot.url}/v2/${url(`${repository}/${path}`)}`;
      using pusher = new Pusher(at);
      await pusher.image(image, '1.0');

      const blob = image.layers[0]!;
      const there = [`manifests/1.0`, `manifests/${image.manifest.digest}`, `blobs/${blob.digest}`];
      const gone = ['manifests/theirs', `manifests/${absent}`, `blobs/${absent}`];
      for (const method of ['HEAD', 'GET']) {
        for (const path of there) expect((await ask(at(path), method)).status, `${by}: ${path}`).toBe(200);
        for (const path of gone) expect((await ask(at(path), method)).status, `${by}: ${path}`).toBe(404);
      }
      const ours = await ask(at('manifests/1.0'));
      expect(ours.headers.get('docker-content-digest')).toBe(image.manifest.digest);
      expect(JSON.parse((await ask(at('tags/list?n=5'))).text)).toMatchObject({ tags: ['1.0'] });
      for (const digest of [image.manifest.digest, absent]) {
        expect((await ask(at(`referrers/${digest}`))).status, by).toBe(200);
      }
      const mount = await ask(at(`blobs/uploads/?mount=${absent}&from=library/base`), 'POST');
      expect(mount.status, by).toBe(202);
      for (const path of ['manifests/theirs', `manifests/${absent}`, `blobs/${absent}`]) {
        expect((await ask(at(path), 'DELETE')).status, `${by}: ${path}`).toBe(404);
      }
      for (const path of ['manifests/1.0', `manifests/${image.manifest.digest}`, `blobs/${blob.digest}`]) {
        expect((await ask(at(path), 'DELETE')).status, `${by}: ${path}`).toBe(202);
        expect((await ask(at(path))).status, `${by}: ${path}`).toBe(404);
      }
      asked += 1;
    }
  }
  expect((await ask(`${entrepot.url}/v2/_catalog`)).status).toBe(200);
  expect(origin.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  expect(asked).toBe(2 * routes.length + 1);
  // It is there, and would have been asked.
  expect((await ask(`${entrepot.url}/v2/library/other/manifests/1.0`)).status).toBe(404);
  expect(origin.count()).toBeGreaterThan(0);
  expect(entrepot.complaints).toEqual([]);
});
