import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startDockerd } from './support/clients/dockerd.ts';
import { entrepotProgram } from './support/entrepot.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { acceptAnyImage } from './support/policy.ts';
import { Program, run } from './support/program.ts';
import { freePort, Scratch, until } from './support/scratch.ts';
import { makeTeamImage } from './support/team-image.ts';

showLogsOfFailedTests();

const readyMs = 15_000;
const alice = { username: 'alice', password: 'herring-and-hemp' };

test('over HTTPS with the files of "entrepot tls self-signed": skopeo and the engine push and pull, who does not trust the authority does not', async () => {
  await using scratch = await Scratch.create('tls');
  const port = await freePort();
  const [config, tls, trusted] = [scratch.file('mirror.config.json'), scratch.file('tls'), scratch.file('trusted')];
  const entrepot = (...args: readonly string[]) => ({ program: process.execPath, args: [entrepotProgram, ...args] });
  await run(entrepot('tls', 'self-signed', '--host', 'localhost', '--host', '127.0.0.1', '--out', tls));
  await mkdir(trusted);
  await copyFile(`${tls}/ca.crt`, `${trusted}/ca.crt`);
  const settings = {
    listen: { host: '127.0.0.1', port, tls: { cert: 'tls/server.crt', key: 'tls/server.key' } },
    storage: { path: 'data' },
    upstreams: {},
    private: { namespaces: ['team/**'] },
  };
  await writeFile(config, JSON.stringify(settings));
  await run({ ...entrepot('user', 'add', '--config', config, alice.username), input: `${alice.password}\n` });
  await using daemon = new Program('entrepot', entrepot('serve', '--config', config));
  const answers = { program: 'curl', args: ['--silent', '--fail', '--cacert', `${tls}/ca.crt`] };
  await until('entrepot answers over HTTPS', readyMs, () =>
    run({ ...answers, args: [...answers.args, `https://localhost:${port}/healthz`] }).then(
      () => true,
      () => false,
    ),
  );
  expect(daemon.isRunning).toBe(true);

  await using made = await makeTeamImage('secure');
  const image = `localhost:${port}/team/app:1.0`;
  const policy = ['--policy', await acceptAnyImage(scratch)];
  const creds = `${alice.username}:${alice.password}`;
  const push = ['copy', '--quiet', '--dest-creds', creds, `dir:${made.folder}`, `docker://${image}`];
  const skopeo = (args: readonly string[]) => run({ program: 'skopeo', args: [...policy, ...args] });
  await expect(skopeo(push)).rejects.toThrow(/x509|unknown authority/);
  await skopeo([...push.slice(0, 2), '--dest-cert-dir', trusted, ...push.slice(2)]);
  const inspect = ['inspect', '--format', '{{.Digest}}', '--cert-dir', trusted];
  const digestOf = async (name: string) => (await skopeo([...inspect, `docker://${name}`])).trim();

  await using engine = await startDockerd({ port });
  await engine.login(`localhost:${port}`, alice);
  await engine.docker(['pull', image]);
  expect(await engine.digest(image)).toBe(await digestOf(image));
  const again = `localhost:${port}/team/again:2.0`;
  await engine.docker(['tag', image, again]);
  await engine.docker(['push', again]);
  expect(await engine.digest(again)).toBe(await digestOf(again));
});
