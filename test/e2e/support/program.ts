import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { atEndOfRun } from './end-of-run.ts';
import { BoundedLog, keepForThisTest } from './log.ts';

/** Debian's own programs come first, whatever else is installed beside them. */
export const programPath = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

const defaultRunMs = 120_000;
const defaultStopMs = 15_000;

/**
 * A closed door for everything but loopback: an engine that gives up on its mirror and turns to the real registry
 * fails at once, also on a machine that has a network. Go's HTTP client never uses a proxy for 127.0.0.1.
 */
const noOutsideWorld = {
  HTTP_PROXY: 'http://127.0.0.1:1',
  HTTPS_PROXY: 'http://127.0.0.1:1',
  NO_PROXY: '127.0.0.1,localhost',
};

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What it reads from its standard input; nothing, if not given. */
  readonly input?: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();
atEndOfRun('stop', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process that runs until it is told to stop; its output is kept in memory. */
export class Program implements AsyncDisposable {
  readonly log: BoundedLog;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;

  constructor(name: string, command: Command) {
    this.log = new BoundedLog(name);
    this.#child = start(command);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.log.add(text);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.log.add(text);
    });
    this.exited = exitOf(this.#child).finally(() => {
      keepForThisTest(this.log);
    });
    // A program that cannot be started is reported by whoever waits for it, not by the process as a whole.
    this.exited.catch((error: unknown) => {
      this.log.add(String(error));
    });
  }

  get isRunning(): boolean {
    return running.has(this.#child);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Asks it to end, and after `withinMs` ends it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = defaultStopMs): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => {
      this.log.add(`\n(still running ${withinMs} ms after ${signal}: killed)\n`);
      this.signal('SIGKILL');
    }, withinMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isRunning) await this.stop();
  }
}

/** Runs a command to its end; rejects with what it wrote when it fails or takes too long. */
export async function run(command: Command, withinMs = defaultRunMs): Promise<string> {
  const child = start(command);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await finish(child, command, withinMs);
  return output;
}

/** What a command ended with, whatever that was. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, whether it fails or not; one that takes too long has no exit code. */
export async function outcomeOf(command: Command, withinMs = defaultRunMs): Promise<Outcome> {
  const child = start(command);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
  try {
    return { code: (await exitOf(child)).code, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a command with its standard output going to a file. */
export async function runToFile(command: Command, file: string): Promise<void> {
  const child = start(command);
  const written = child.stdout === null ? Promise.resolve() : pipeline(child.stdout, createWriteStream(file));
  await Promise.all([written, finish(child, command, defaultRunMs)]);
}

async function finish(child: ChildProcess, { program, args }: Command, withinMs: number): Promise<void> {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
  try {
    const { code, signal } = await exitOf(child);
    if (code === 0) return;
    const reason = signal === null ? `exit code ${String(code)}` : `${signal} (allowed ${withinMs} ms)`;
    throw new Error(`${[program, ...args].join(' ')}: ${reason}\n${complaint.trimEnd()}`);
  } finally {
    clearTimeout(timer);
  }
}

function start({ program, args, env, cwd, input }: Command): ChildProcess {
  const child = spawn(program, args, {
    env: { PATH: programPath, LANG: 'C.UTF-8', HOME: cwd ?? '/', ...noOutsideWorld, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  // A program that ends without reading is judged by its exit code.
  child.stdin?.on('error', () => undefined).end(input);
  running.add(child);
  const gone = (): void => {
    running.delete(child);
  };
  child.once('exit', gone);
  child.once('error', gone);
  return child;
}

/** After `close`, so that the last output is in. */
async function exitOf(child: ChildProcess): Promise<Exit> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, signal };
}
