/** `ENTREPOT_LISTEN_PORT=5001`: a variable for every setting. */
import { configJsonSchema, nodeAt, type SchemaNode, settingPaths, typesOf } from './json-schema.ts';
import { nearest } from './nearest.ts';
import { type ConfigProblem, pathText } from './problem.ts';
import { defaultUpstreams, dockerHub } from './schema.ts';
import { unsupportedPaths } from './unsupported.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Document = Record<string, unknown>;

/** A variable that sets the setting at `path`. */
export interface Override {
  readonly variable: string;
  readonly path: readonly string[];
}

/** Variables for those who start the program, of which it knows nothing. */
const foreign = /^ENTREPOT_CONFIG_/i;

/** What Kubernetes tells every pod of a Service that is named `entrepot`: nothing that anybody meant for us. */
function isServiceLink(name: string, value: string): boolean {
  if (/^ENTREPOT_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_|$)/.test(name)) return true;
  return name === 'ENTREPOT_PORT' && /^(tcp|udp|sctp):\/\//.test(value);
}

/** The upstreams that a document or the environment may speak of. */
export function upstreamNames(document: Document): readonly string[] {
  const { upstreams } = document;
  return [...new Set([...(isDocument(upstreams) ? Object.keys(upstreams) : []), dockerHub])];
}

/** Puts what the environment says into the document; gives what was set, and what could not be understood. */
export function applyEnvironment(
  document: Document,
  env: Environment,
): { readonly overrides: readonly Override[]; readonly problems: readonly ConfigProblem[] } {
  const schema = configJsonSchema();
  const names = upstreamNames(document);
  const settings = settingPaths(schema, names).filter(([first]) => first !== '$schema');
  const variables = Object.keys(env).filter((name) => /^ENTREPOT_/i.test(name) && !foreign.test(name));
  const passwords = passwordVariables(document, env);

  const overrides: Override[] = [];
  const problems: ConfigProblem[] = [];
  for (const variable of variables.filter((name) => !passwords.has(name) && !isServiceLink(name, env[name] ?? ''))) {
    const [path, other] = pathsOf(variable, settings, names);
    const problem = (message: string, about = '') => problems.push({ source: variable, path: about, message });
    const earlier = overrides.find((override) => path !== undefined && pathText(override.path) === pathText(path));
    if (path === undefined) problem(unknownVariable(variable, settings));
    else if (other) problem(`can mean ${pathText(path)} or ${pathText(other)}: write it in the file`);
    else if (earlier) problem(`is also set by ${earlier.variable}`, pathText(path));
    else overrides.push({ variable, path });
  }
  for (const { variable, path } of overrides) set(document, path, valueOf(env[variable] ?? '', nodeAt(schema, path)));
  return { overrides, problems };
}

/** Their names are the operator's choice, so they may well look like settings. */
function passwordVariables(document: Document, env: Environment): ReadonlySet<unknown> {
  const { upstreams } = document;
  const named = isDocument(upstreams) ? Object.values(upstreams) : [];
  return new Set([
    ...named.filter(isDocument).map(({ passwordEnv }) => passwordEnv),
    ...Object.keys(env).flatMap((name) => (/^entrepotupstreams.*passwordenv$/.test(normal(name)) ? [env[name]] : [])),
  ]);
}

function pathsOf(
  variable: string,
  settings: readonly (readonly string[])[],
  names: readonly string[],
): readonly (readonly string[])[] {
  const wanted = normal(variable);
  const known = settings.filter((path) => wanted === normal(variableFor(path)));
  if (known.length > 0) return known;
  // ENTREPOT_NOTIFICATIONS_URL names a part of notifications.
  return unsupportedPaths(names)
    .filter((path) => wanted.startsWith(normal(variableFor(path))))
    .slice(0, 1);
}

function unknownVariable(variable: string, settings: readonly (readonly string[])[]): string {
  const suggestion = nearest(variable, settings.map(variableFor));
  return `is not the name of a setting${suggestion === undefined ? '' : `; did you mean ${suggestion}?`}`;
}

function variableFor(path: readonly string[]): string {
  const words = path.map((key) => key.replace(/([a-z])([A-Z])/g, '$1_$2').replace(/[^A-Za-z0-9]+/g, '_'));
  return ['ENTREPOT', ...words].join('_').toUpperCase();
}

function normal(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** Text where the setting can be one; otherwise JSON, and a list also with commas. What is neither is for the schema to refuse. */
function valueOf(text: string, node: SchemaNode | undefined): unknown {
  const types = typesOf(node ?? {});
  const isList = types.has('array') && (!types.has('string') || text.startsWith('['));
  if (isList) return text.trimStart().startsWith('[') ? json(text) : splitList(text);
  if (types.has('null') && text === 'null') return null;
  return types.has('string') ? text : json(text);
}

function splitList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function set(document: Document, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path;
  if (key === undefined) return;
  if (rest.length === 0) {
    document[key] = value;
    return;
  }
  if (document[key] === undefined) document[key] = key === 'upstreams' ? structuredClone(defaultUpstreams) : {};
  // Anything else than an object there is a mistake in the file, and reported as such.
  if (isDocument(document[key])) set(document[key], rest, value);
}

export function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
