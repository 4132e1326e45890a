import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Config } from './config.ts';
import {
  applyEnvironment,
  type Document,
  type Environment,
  isDocument,
  type Override,
  upstreamNames,
} from './environment.ts';
import { fileErrorText } from './file-error.ts';
import { findJsonError } from './json-syntax.ts';
import { parseSettings } from './parse.ts';
import { type ConfigProblem, type ConfigProblems, type Finding, pathText } from './problem.ts';
import { resolveSettings } from './resolve.ts';

export interface ConfigSource {
  readonly file: string;
  /** `ENTREPOT_…` variables override the file. */
  readonly env: Environment;
  /** Whether standard output is a terminal, which decides the default of `log.format`. */
  readonly isTerminal?: boolean;
}

/** The effective configuration, or all that is wrong with it. */
export async function loadConfig({
  file,
  env,
  isTerminal = false,
}: ConfigSource): Promise<Result<Config, ConfigProblems>> {
  const read = await readDocument(file);
  if (!read.ok) return fail([{ source: file, path: '', message: read.failure }]);
  const document = read.value;

  const { overrides, problems } = applyEnvironment(document, env);
  const settings = parseSettings(document, upstreamNames(document));
  if (!settings.ok) return fail([...problems, ...located(settings.failure, overrides, file)]);
  if (problems.length > 0) return fail(problems);

  const config = await resolveSettings(settings.value, { directory: dirname(resolve(file)), env, isTerminal });
  return config.ok ? config : fail(located(config.failure, overrides, file));
}

async function readDocument(file: string): Promise<Result<Document, string>> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    return fail(`cannot be read: ${fileErrorText(error)}`);
  }
  const error = findJsonError(text);
  if (error) return fail(`is not JSON at line ${error.line}, column ${error.column}: ${error.reason}`);
  const document: unknown = JSON.parse(text);
  return isDocument(document) ? ok(document) : fail('must be an object: { … }');
}

/** Says of each finding whether the file or a variable is to be mended. */
function located(findings: readonly Finding[], overrides: readonly Override[], file: string): readonly ConfigProblem[] {
  return findings.map(({ path, message }) => {
    const override = overrides.find((candidate) => candidate.path.every((key, index) => key === path[index]));
    return { source: override?.variable ?? file, path: pathText(path), message };
  });
}
