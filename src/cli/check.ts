import { loadConfig } from '../config/load.ts';
import { pathText, problemText } from '../config/problem.ts';
import { redacted } from '../config/redact.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';

/** Prints the configuration in effect, or everything that is wrong with it. */
export async function check(options: { readonly config: string; readonly json: boolean }, io: Io): Promise<ExitCode> {
  const loaded = await loadConfig({ file: options.config, env: io.env, isTerminal: io.stdout.isTTY === true });
  if (!loaded.ok) {
    if (options.json) io.stdout.write(jsonText({ problems: loaded.failure }));
    else io.stderr.write(loaded.failure.map((problem) => `${problemText(problem)}\n`).join(''));
    return exitCode.misused;
  }
  const effective = redacted(loaded.value);
  io.stdout.write(options.json ? jsonText(effective) : table(settingsOf(effective)));
  return exitCode.done;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

/** One row per setting. Lists are one value, and so are groups without anything in them. */
function settingsOf(value: unknown, path: readonly string[] = []): readonly (readonly [string, string])[] {
  const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
  if (isGroup) return Object.entries(value).flatMap(([key, child]) => settingsOf(child, [...path, key]));
  return [[pathText(path), typeof value === 'string' ? value : JSON.stringify(value)]];
}
