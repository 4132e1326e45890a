import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const configuration = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as IConfiguration;

async function cruised(): Promise<ICruiseResult> {
  const { output } = await cruise(['src'], {
    ...configuration.options,
    baseDir: root,
    ruleSet: { forbidden: configuration.forbidden ?? [] },
    validate: true,
  });
  return output as ICruiseResult;
}

test('the checker of import directions sees the modules it is to check', async () => {
  const { summary, modules } = await cruised();
  expect(summary.totalCruised).toBeGreaterThan(50);
  const sources = modules.map(({ source }) => source);
  expect(sources).toContain('src/mirror/flight.ts');
  expect(sources).toContain('src/access/access-control.ts');
  expect(summary.violations).toEqual([]);
});

test('only registries and the receivers of notifications are dialled', async () => {
  const { modules } = await cruised();
  const dialling = modules.filter(({ dependencies }) =>
    dependencies.some(({ resolved }) => resolved.includes('/undici/')),
  );
  expect(new Set(dialling.map(({ source }) => source.split('/')[1]))).toEqual(new Set(['upstream', 'notifications']));
});

test('every folder of src has a rule of its own', async () => {
  const entries = await readdir(join(root, 'src'), { withFileTypes: true });
  const names = entries.map(({ name }) => name.replace(/\.ts$/, ''));
  const ruled = (configuration.forbidden ?? []).map(({ name }) => name?.split('-imports-only-')[0]);
  expect(names.filter((name) => !ruled.includes(name))).toEqual([]);
});
