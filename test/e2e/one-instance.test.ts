import { chmod, chown } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { SmallDisk } from './support/disk.ts';
import { Entrepot, entrepotProgram, writeConfig } from './support/entrepot.ts';
import { publishFleet, pullEverything } from './support/fleet.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { type Outcome, outcomeOf, Program } from './support/program.ts';
import { meetRequirements } from './support/requirements.ts';
import { answers, freePort, Scratch, until } from './support/scratch.ts';

showLogsOfFailedTests();
beforeAll(meetRequirements);

const MiB = 1024 * 1024;
const promptMs = 20_000;
const nobody = 65_534;

/** Root may do everything to files, unless these are taken from it. */
const asModesSay = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search,-fowner,-chown'];

/** A start on this data directory that is expected to end by itself. */
async function serveOn(dataPath: string, upstream: FakeRegistry, asWhom: readonly string[] = []): Promise<Outcome> {
  await using scratch = await Scratch.create('second');
  const configFile = scratch.file('mirror.config.json');
  await writeConfig(configFile, { upstream }, { port: await freePort(), dataPath });
  const command = [process.execPath, entrepotProgram, 'serve', '--config', configFile];
  return await outcomeOf({ program: 'env', args: [...asWhom, ...command] }, promptMs);
}

function expectOneSentence({ code, stdout, stderr }: Outcome, directory: string): void {
  console.log(`exit code ${String(code)}: ${stderr.trim()}`);
  expect(code, stdout + stderr).toBe(2);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toContain(directory);
  expect(stdout + stderr).not.toMatch(/^\s+at |\.js:\d+/m);
}

test('a second daemon on the same data directory ends in one sentence, and the first goes on', async () => {
  await using origin = await FakeRegistry.start();
  const [image, another] = await publishFleet(origin, { count: 2, baseSizes: [MiB], ownSize: () => MiB });
  await using first = await Entrepot.start({ upstream: origin });
  await pullEverything(first.url, image!);
  const { startedAt } = await first.status();

  expectOneSentence(await serveOn(first.dataPath, origin), first.dataPath);
  // The first one's lock and socket are still its own.
  expectOneSentence(await serveOn(first.dataPath, origin), first.dataPath);
  expect((await first.status()).startedAt).toBe(startedAt);
  await pullEverything(first.url, another!);
  await first.idle();

  await first.kill9();
  await first.restart();
  const status = await first.reconciled();
  expect(status.startedAt).not.toBe(startedAt);
  expect(status.recovery).toBe(null);
  await origin.kill();
  await pullEverything(first.url, image!);
  await pullEverything(first.url, another!);
});

test('of two that start at once after kill -9, one serves and the other ends', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  await entrepot.kill9();
  await using scratch = await Scratch.create('two');
  const start = async (name: string): Promise<Program & { readonly url: string }> => {
    const [configFile, port] = [scratch.file(`${name}.json`), await freePort()];
    await writeConfig(configFile, { upstream: origin }, { port, dataPath: entrepot.dataPath });
    const args = [entrepotProgram, 'serve', '--config', configFile];
    return Object.assign(new Program(name, { program: process.execPath, args }), { url: `http://127.0.0.1:${port}` });
  };
  await using one = await start('one');
  await using other = await start('other');
  await until('one of them ends', promptMs, () => !one.isRunning || !other.isRunning);
  const [ended, left] = one.isRunning ? [other, one] : [one, other];
  expect((await ended.exited).code, ended.log.text).toBe(2);
  await until('the other one serves', promptMs, () => answers(`${left.url}/readyz`));
  expect(left.isRunning).toBe(true);
});

test('a data directory that can only be read is one sentence', async () => {
  await using origin = await FakeRegistry.start();
  await using disk = await SmallDisk.create(MiB);
  await disk.makeReadOnly();
  expectOneSentence(await serveOn(disk.path, origin), disk.path);
});

test.each([
  { mode: 0o700, what: 'may not be entered' },
  { mode: 0o555, what: 'may not be written to' },
])("a data directory that is somebody else's and $what is one sentence", async ({ mode }) => {
  await using origin = await FakeRegistry.start();
  await using scratch = await Scratch.create('theirs');
  const theirs = await scratch.folder('data');
  await chown(theirs, nobody, nobody);
  await chmod(theirs, mode);
  expectOneSentence(await serveOn(theirs, origin, asModesSay), theirs);
});

test('content of an earlier time that is not ours to write is one sentence, too', async () => {
  await using origin = await FakeRegistry.start();
  await using entrepot = await Entrepot.start({ upstream: origin });
  await entrepot.stop();
  await chown(entrepot.dataPath, nobody, nobody);
  await chmod(entrepot.dataPath, 0o555);
  expectOneSentence(await serveOn(entrepot.dataPath, origin, asModesSay), entrepot.dataPath);
});
