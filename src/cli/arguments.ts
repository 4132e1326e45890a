import { parseArgs } from 'node:util';
import { didYouMean } from '../config/nearest.ts';
import { parseSetupClient } from './setup-arguments.ts';
import { parseTlsArguments, type SelfSignedOptions } from './tls-arguments.ts';
import { parseUserCommand, type UserCommand, userActOf, userOptionsOf } from './user-arguments.ts';

export type Invocation =
  /** Nothing that can be done; the problem is one sentence. */
  | { readonly command: 'misuse'; readonly problem: string }
  | { readonly command: 'help' | 'version' }
  | { readonly command: 'serve'; readonly config: string }
  | ({ readonly command: 'check' | 'status' } & Common)
  | ({ readonly command: 'ls' | 'pin'; readonly pattern: string | undefined } & Common)
  | ({ readonly command: 'unpin'; readonly pattern: string } & Common)
  | ({ readonly command: 'gc'; readonly dryRun: boolean } & Common)
  | ({ readonly command: 'verify'; readonly repair: boolean } & Common)
  | ({ readonly command: 'user'; readonly user: UserCommand } & Common)
  | ({ readonly command: 'setup'; readonly client: 'docker' } & Common)
  | ({ readonly command: 'tls' } & SelfSignedOptions);

interface Common {
  readonly config: string;
  readonly json: boolean;
}

const defaultConfigFile = 'mirror.config.json';

const options = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  repair: { type: 'boolean' },
  name: { type: 'string' },
  expires: { type: 'string' },
  repository: { type: 'string', multiple: true },
  action: { type: 'string', multiple: true },
  host: { type: 'string', multiple: true },
  days: { type: 'string' },
  out: { type: 'string' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

type OptionName = keyof typeof options;

const valued: ReadonlySet<string> = new Set(
  Object.entries(options).flatMap(([name, { type }]) => (type === 'string' ? [name] : [])),
);

interface Shape {
  readonly options: readonly OptionName[];
  /** Whether it takes one, beside its options. */
  readonly pattern?: 'optional' | 'required';
}

const commands = {
  serve: { options: ['config', 'help', 'version'] },
  check: { options: ['config', 'json', 'help', 'version'] },
  status: { options: ['config', 'json', 'help', 'version'] },
  ls: { options: ['config', 'json', 'help', 'version'], pattern: 'optional' },
  pin: { options: ['config', 'json', 'help', 'version'], pattern: 'optional' },
  unpin: { options: ['config', 'json', 'help', 'version'], pattern: 'required' },
  gc: { options: ['config', 'json', 'dry-run', 'help', 'version'] },
  verify: { options: ['config', 'json', 'repair', 'help', 'version'] },
  user: { options: ['config', 'help', 'version'] },
  setup: { options: ['config', 'json', 'help', 'version'] },
  tls: { options: ['host', 'days', 'out', 'force', 'json', 'help', 'version'] },
} as const satisfies Record<string, Shape>;

type Command = keyof typeof commands;

/** Planned, and known by name already, so that they are not taken for typing errors. */
const unsupportedCommands = ['show', 'warm', 'refresh', 'rm', 'doctor'];

export function parseArguments(argv: readonly string[]): Invocation {
  const { tokens, values, positionals } = parseArgs({
    args: [...argv],
    options,
    allowPositionals: true,
    // Its own complaints suggest nothing.
    strict: false,
    tokens: true,
  });
  const [command, ...rest] = positionals;
  if (command !== undefined && unsupportedCommands.includes(command)) return misuse(`${command} is not supported yet`);
  if (command !== undefined && !isCommand(command)) {
    return misuse(`unknown command ${JSON.stringify(command)}${didYouMean(command, Object.keys(commands))}`);
  }

  const allowed: readonly string[] = [
    ...(command === undefined ? ['help', 'version', 'config'] : commands[command].options),
    ...(command === 'user' ? userOptionsOf(rest) : []),
  ];
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    if (!allowed.includes(token.name)) return misuse(unknownOption(token, command, allowed));
    const takesValue = valued.has(token.name);
    if (takesValue && (token.value ?? '') === '') return misuse(`the option --${token.name} needs a value`);
    if (!takesValue && token.value !== undefined) return misuse(`the option --${token.name} takes no value`);
  }

  if (values.help === true) return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  if (command === undefined) return misuse('a command is missing');
  const config = typeof values.config === 'string' ? values.config : defaultConfigFile;
  const json = values.json === true;
  if (command === 'user') {
    const act = userActOf(rest);
    if (!act.ok) return misuse(act.failure);
    const user = parseUserCommand(...act.value, {
      name: textOf(values.name),
      expires: textOf(values.expires),
      repository: textsOf(values.repository),
      action: textsOf(values.action),
    });
    return user.ok ? { command, user: user.value, config, json } : misuse(user.failure);
  }
  if (command === 'tls') {
    const parsed = parseTlsArguments(rest, {
      hosts: textsOf(values.host),
      days: textOf(values.days),
      out: textOf(values.out),
      force: values.force === true,
      json,
    });
    return parsed.ok ? { command, ...parsed.value } : misuse(parsed.failure);
  }
  return withPattern(command, rest, {
    config,
    json,
    dryRun: values['dry-run'] === true,
    repair: values.repair === true,
  });
}

interface Given extends Common {
  readonly dryRun: boolean;
  readonly repair: boolean;
}

function withPattern(
  command: Exclude<Command, 'tls' | 'user'>,
  [pattern, ...others]: readonly string[],
  { config, json, dryRun, repair }: Given,
): Invocation {
  if (command === 'setup') {
    const client = parseSetupClient(pattern, others);
    return client.ok ? { command, config, json, client: client.value } : misuse(client.failure);
  }
  const { pattern: takes }: Shape = commands[command];
  if (takes === undefined && pattern !== undefined) {
    return misuse(`${command} takes no argument ${JSON.stringify(pattern)}`);
  }
  const [surplus] = others;
  if (surplus !== undefined) return misuse(`${command} takes one pattern, and not ${JSON.stringify(surplus)} as well`);
  switch (command) {
    case 'serve':
      return { command, config };
    case 'check':
    case 'status':
      return { command, config, json };
    case 'ls':
    case 'pin':
      return { command, config, json, pattern };
    case 'unpin':
      return pattern === undefined ? misuse('unpin needs a pattern') : { command, config, json, pattern };
    case 'gc':
      return { command, config, json, dryRun };
    case 'verify':
      return { command, config, json, repair };
  }
}

/** parseArgs promises no types when it is not strict. */
function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
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
  return Object.hasOwn(commands, text);
}
