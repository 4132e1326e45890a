import { parseArgs } from 'node:util';
import { didYouMean } from '../config/nearest.ts';

export type Invocation =
  /** Nothing that can be done; the problem is one sentence. */
  | { readonly command: 'misuse'; readonly problem: string }
  | { readonly command: 'help' | 'version' }
  | { readonly command: 'serve'; readonly config: string }
  | { readonly command: 'check'; readonly config: string; readonly json: boolean };

const defaultConfigFile = 'mirror.config.json';

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

type OptionName = keyof typeof options;

const commandOptions = {
  serve: ['config', 'help', 'version'],
  check: ['config', 'json', 'help', 'version'],
} as const satisfies Record<string, readonly OptionName[]>;

type Command = keyof typeof commandOptions;

/** Planned, and known by name already, so that they are not taken for typing errors. */
const unsupportedCommands = [
  'status',
  'ls',
  'show',
  'warm',
  'pin',
  'unpin',
  'refresh',
  'rm',
  'gc',
  'verify',
  'user',
  'setup',
  'doctor',
];

export function parseArguments(argv: readonly string[]): Invocation {
  const { tokens, values, positionals } = parseArgs({
    args: [...argv],
    options,
    allowPositionals: true,
    // Its own complaints suggest nothing.
    strict: false,
    tokens: true,
  });
  const [command, extra] = positionals;
  if (command !== undefined && unsupportedCommands.includes(command)) return misuse(`${command} is not supported yet`);
  if (command !== undefined && !isCommand(command)) {
    return misuse(`unknown command ${JSON.stringify(command)}${didYouMean(command, Object.keys(commandOptions))}`);
  }

  const allowed: readonly string[] = command === undefined ? ['help', 'version', 'config'] : commandOptions[command];
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    if (!allowed.includes(token.name)) return misuse(unknownOption(token, command, allowed));
    const takesValue = token.name === 'config';
    if (takesValue && (token.value ?? '') === '') return misuse(`the option --${token.name} needs a value`);
    if (!takesValue && token.value !== undefined) return misuse(`the option --${token.name} takes no value`);
  }

  if (values.help === true) return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  if (command === undefined) return misuse('a command is missing');
  if (extra !== undefined) return misuse(`${command} takes no argument ${JSON.stringify(extra)}`);
  const config = typeof values.config === 'string' ? values.config : defaultConfigFile;
  return command === 'serve' ? { command, config } : { command, config, json: values.json === true };
}

function misuse(problem: string): Invocation {
  return { command: 'misuse', problem };
}

function unknownOption(
  { name, rawName }: { readonly name: string; readonly rawName: string },
  command: string | undefined,
  allowed: readonly string[],
): string {
  const suggestion = didYouMean(name, allowed).replace('"', '"--');
  return `${command === undefined ? 'unknown option' : `${command} has no option`} ${rawName}${suggestion}`;
}

function isCommand(text: string): text is Command {
  return Object.hasOwn(commandOptions, text);
}
