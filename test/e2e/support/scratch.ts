import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { atEndOfRun } from './end-of-run.ts';
import { programPath } from './program.ts';

const pollMs = 25;
const unmount = { program: 'umount', args: ['--lazy'] };

const inUse = new Set<string>();
atEndOfRun('remove', () => {
  for (const path of inUse) {
    unmountBelow(path);
    rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  }
});

/** A directory that is gone afterwards, together with whatever an engine left mounted below it. */
export class Scratch implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(purpose: string): Promise<Scratch> {
    // Short, because a Unix socket's path ends at 107 bytes.
    const scratch = new Scratch(await mkdtemp(join(tmpdir(), `e2e-${purpose}-`)));
    inUse.add(scratch.path);
    return scratch;
  }

  file(...parts: readonly string[]): string {
    return join(this.path, ...parts);
  }

  async folder(...parts: readonly string[]): Promise<string> {
    const path = this.file(...parts);
    await mkdir(path, { recursive: true });
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    unmountBelow(this.path);
    await rm(this.path, { recursive: true, force: true, maxRetries: 5 });
    inUse.delete(this.path);
  }
}

/** Undoes what was acquired, last first, whatever fails on the way. */
export class Cleanup implements AsyncDisposable {
  readonly #acquired: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.#acquired.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let resource = this.#acquired.pop(); resource !== undefined; resource = this.#acquired.pop()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} things could not be cleaned up`);
  }
}

/** What `build` acquired stays with what it returns, or is undone at once when it fails half way. */
export async function acquire<T>(build: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  try {
    return await build(cleanup);
  } catch (error) {
    await cleanup[Symbol.asyncDispose]();
    throw error;
  }
}

function unmountBelow(folder: string): void {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path === folder || path.startsWith(`${folder}/`));
  // The latest mount is listed last and may lie on top of an earlier one.
  for (const path of mounts.reverse())
    spawnSync(unmount.program, [...unmount.args, path], { env: { PATH: programPath } });
  const left = mounts.length === 0 ? '' : readFileSync('/proc/self/mountinfo', 'utf8');
  // Removing files through a mount that is still there could remove what is not ours.
  if (left.includes(` ${folder}`)) throw new Error(`something is still mounted below ${folder}`);
}

/**
 * Below the range from which the kernel takes the near end of outgoing connections: a port from that range could be
 * taken by any of them before its server listens again.
 */
const ports = { first: 15_000, count: 15_000 };
let nextPort = Math.floor(Math.random() * ports.count);

/** Never the same port twice in one process. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < ports.count; tries += 1) {
    const port = ports.first + (nextPort % ports.count);
    nextPort += 1;
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${ports.first} on`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}

/** Other processes can only be watched by looking again; the wait is bounded and says what it waited for. */
export async function until(what: string, withinMs: number, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain: ${what}`);
    await delay(pollMs);
  }
}

/** True when an HTTP server answers `url` with success. */
export async function answers(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(2_000) }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.ok;
    },
    () => false,
  );
}
