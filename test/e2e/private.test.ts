import { expect, test } from 'vitest';
import { startSkopeo } from './support/clients/skopeo.ts';
import { Entrepot } from './support/entrepot.ts';
import { ask } from './support/http.ts';
import { ownLayer } from './support/images.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { sharedSite } from './support/site.ts';
import { differences } from './support/tree.ts';
import { reader } from './support/upstream.ts';

showLogsOfFailedTests();

const site = sharedSite();

test('opened to anyone, a private repository is served, but its layers only under its own name', async () => {
  const { upstream } = site;
  const { secret, app } = site.images;
  await using entrepot = await Entrepot.start({ upstream, account: reader, privateRepositories: 'anyone' });
  await using skopeo = await startSkopeo(entrepot);
  await skopeo.pull(secret.name);
  expect(differences(secret.files, await skopeo.files(secret.name))).toEqual([]);
  await skopeo.pull(app.name);

  const digest = ownLayer(secret).digest;
  expect((await ask(`${entrepot.url}/v2/team/secret/blobs/${digest}`, 'HEAD')).status).toBe(200);
  for (const repository of ['library/app', 'docker.io/library/app', 'team/other', 'local/anything']) {
    for (const query of ['', '?ns=docker.io']) {
      for (const path of [`blobs/${digest}`, `manifests/${secret.manifest.digest}`, `blobs/${secret.config.digest}`]) {
        const answer = await ask(`${entrepot.url}/v2/${repository}/${path}${query}`);
        expect([403, 404], `${repository}/${path}${query}`).toContain(answer.status);
        expect(answer.error?.message).toBeTruthy();
      }
    }
  }
});

test('by default what only our account may read is not for anonymous, and what everyone may read still is', async () => {
  const { upstream } = site;
  const { secret, app } = site.images;
  await using entrepot = await Entrepot.start({ upstream, account: reader });
  await using skopeo = await startSkopeo(entrepot);

  await skopeo.pull(app.name);
  expect(differences(app.files, await skopeo.files(app.name))).toEqual([]);
  await expect(skopeo.pull(secret.name)).rejects.toThrow();
  for (const repository of ['team/secret', 'docker.io/team/secret', 'library/app']) {
    for (const path of [`blobs/${ownLayer(secret).digest}`, `manifests/${secret.manifest.digest}`]) {
      const answer = await ask(`${entrepot.url}/v2/${repository}/${path}`);
      expect([401, 403, 404], `${repository}/${path}`).toContain(answer.status);
    }
  }
  const tag = await ask(`${entrepot.url}/v2/team/secret/manifests/1.0`);
  expect([401, 403]).toContain(tag.status);
  expect(tag.error?.message).toBeTruthy();
});
