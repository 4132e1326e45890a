import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { configJsonSchema, nodeAt, type SchemaNode } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { unsupportedPaths } from '../../src/config/unsupported.ts';

const root = new URL('../../', import.meta.url);

test('the published JSON Schema is the one that the program uses', async () => {
  const published: unknown = JSON.parse(await readFile(new URL('mirror.config.schema.json', root), 'utf8'));
  expect(published, 'out of date: refresh it with `npm run schema`').toEqual(configJsonSchema());
});

test('the published JSON Schema accepts no setting without effect', () => {
  const schema = configJsonSchema();
  for (const path of unsupportedPaths(['docker.io'])) expect(nodeAt(schema, path), path.join('.')).toBeUndefined();
});

test('every setting is documented', () => {
  const undocumented: string[] = [];
  const visit = (node: SchemaNode, path: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      if (!('description' in child)) undocumented.push(`${path}.${key}`);
      visit(child, `${path}.${key}`);
    }
    if (typeof node.additionalProperties === 'object') visit(node.additionalProperties, `${path}.*`);
    if (node.items) visit(node.items, `${path}[]`);
    for (const alternative of node.anyOf ?? []) visit(alternative, path);
  };
  visit(configJsonSchema(), '');
  expect(undocumented).toEqual([]);
});

test('the sample configuration is valid and says what the defaults are', async () => {
  const sample = await loadConfig({ file: new URL('mirror.config.json', root).pathname, env: {} });
  expect(sample).toMatchObject({
    ok: true,
    value: { listen: { port: 5000 }, storage: { maxSize: 50 * 1024 ** 3 }, defaultUpstream: 'docker.io' },
  });
});
