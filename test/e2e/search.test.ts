import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { startDockerd } from './support/clients/dockerd.ts';
import { Entrepot, everyonePushes } from './support/entrepot.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { Scratch } from './support/scratch.ts';
import { sharedSite } from './support/site.ts';

showLogsOfFailedTests();

const site = sharedSite();

/** Under the line with the headings: what stands in the first two columns, which two spaces or more divide. */
function rows(table: string): readonly (readonly (string | undefined)[])[] {
  const [headings = '', ...lines] = table.trimEnd().split('\n');
  expect(headings).toMatch(/^NAME\s+DESCRIPTION\s+STARS\s+OFFICIAL/);
  return lines.map((line) => line.split(/\s{2,}/).slice(0, 2));
}

test('docker search finds what is hosted and what is cached, and what it prints can be pulled', async () => {
  const { app } = site.images;
  await using entrepot = await Entrepot.start({ upstream: site.upstream, access: everyonePushes });
  await using engine = await startDockerd(entrepot);
  const here = `127.0.0.1:${entrepot.port}`;
  await engine.pull(app.name);
  await engine.docker(['tag', app.name, `${here}/local/my-app:1.0`]);
  await engine.docker(['push', `${here}/local/my-app:1.0`]);
  const [cached = ''] = app.name.split(':');

  expect(rows(await engine.docker(['search', `${here}/app`]))).toEqual([
    ['local/my-app', 'hosted here'],
    [cached, 'cached here'],
  ]);
  expect(rows(await engine.docker(['search', '--limit', '1', `${here}/app`]))).toEqual([
    ['local/my-app', 'hosted here'],
  ]);
  expect(rows(await engine.docker(['search', `${here}/nothing-like-it`]))).toEqual([]);

  await engine.remove(app.name);
  await engine.docker(['pull', `${here}/local/my-app:1.0`]);
  await engine.docker(['pull', `${here}/${app.name}`]);
});

test('docker search shows its account, and finds what only that may see', async () => {
  const { app } = site.images;
  await using place = await Scratch.create('users');
  const htpasswd = join(place.path, 'users');
  await writeFile(htpasswd, `alice:${await hash('right', 4)}\n`, { mode: 0o600 });
  const rules = [{ repositories: ['local/secret/**'], pull: ['alice'], push: ['alice'] }];
  await using entrepot = await Entrepot.start({ upstream: site.upstream, access: { htpasswd, rules } });
  await using engine = await startDockerd(entrepot);
  const here = `127.0.0.1:${entrepot.port}`;
  await engine.pull(app.name);
  await engine.docker(['login', '--username', 'alice', '--password', 'right', here]);
  await engine.docker(['tag', app.name, `${here}/local/secret/plan:1.0`]);
  await engine.docker(['push', `${here}/local/secret/plan:1.0`]);

  expect(rows(await engine.docker(['search', `${here}/plan`]))).toEqual([['local/secret/plan', 'hosted here']]);
  await engine.docker(['logout', here]);
  expect(rows(await engine.docker(['search', `${here}/plan`]))).toEqual([]);
});
