import { loadConfig } from '../config/load.ts';
import { pathText } from '../config/problem.ts';
import { redacted } from '../config/redact.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { tellProblems } from './problems.ts';
import { jsonText, table } from './text.ts';

/** Prints the configuration in effect, or everything that is wrong with it. */
export async function check(options: { readonly config: string; readonly json: boolean }, io: Io): Promise<ExitCode> {
  const loaded = await loadConfig({ file: options.config, env: io.env, isTerminal: io.stdout.isTTY === true });
  if (!loaded.ok) return tellProblems(loaded.failure, options, io);
  const effective = redacted(loaded.value);
  io.stdout.write(options.json ? jsonText(effective) : table(settingsOf(effective)));
  return exitCode.done;
}

/** One row per setting. Lists are one value, and so are groups without anything in them. */
function settingsOf(value: unknown, path: readonly string[] = []): readonly (readonly [string, string])[] {
  const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
  if (isGroup) return Object.entries(value).flatMap(([key, child]) => settingsOf(child, [...path, key]));
  return [[pathText(path), typeof value === 'string' ? value : JSON.stringify(value)]];
}
