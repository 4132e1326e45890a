import { z } from 'zod';
import { settingsSchema } from './schema.ts';

/** The little of JSON Schema that the settings need. */
export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** What `mirror.config.schema.json` holds: what may be written, not what comes of it. Draft 7 is what editors know best. */
export function configJsonSchema(): SchemaNode {
  const generated = z.toJSONSchema(settingsSchema, { io: 'input', target: 'draft-7' });
  return { title: 'Configuration of Entrepot', ...generated } as SchemaNode;
}

/** Where `path` leads. An upstream can have any name, a list any index. */
export function nodeAt(schema: SchemaNode, path: readonly PropertyKey[]): SchemaNode | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return schema;
  for (const node of [schema, ...(schema.anyOf ?? [])]) {
    const next = childOf(node, key);
    if (next !== undefined) return nodeAt(next, rest);
  }
  return undefined;
}

function childOf(node: SchemaNode, key: PropertyKey): SchemaNode | undefined {
  if (typeof key === 'number') return node.items;
  if (node.properties && Object.hasOwn(node.properties, key)) return node.properties[String(key)];
  return typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
}

/** The types that a value may have, alternatives included. */
export function typesOf(node: SchemaNode): ReadonlySet<string> {
  const own = node.type === undefined ? [] : [node.type].flat();
  return new Set([...own, ...(node.anyOf ?? []).flatMap((alternative) => [...typesOf(alternative)])]);
}

/** The paths of all settings that are no groups of others, in a configuration with these upstreams. */
export function settingPaths(schema: SchemaNode, upstreamNames: readonly string[]): readonly (readonly string[])[] {
  const { properties, additionalProperties } = schema;
  if (properties !== undefined) {
    return Object.entries(properties).flatMap(([key, child]) => below(key, settingPaths(child, upstreamNames)));
  }
  if (typeof additionalProperties === 'object') {
    return upstreamNames.flatMap((name) => below(name, settingPaths(additionalProperties, upstreamNames)));
  }
  return [[]];
}

function below(key: string, paths: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return paths.map((path) => [key, ...path]);
}
