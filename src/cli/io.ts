import type { Environment } from '../config/environment.ts';

/** Everything of the process that a command may touch. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: Environment;
  /** Aborts when the program is asked to stop. */
  readonly stop: AbortSignal;
  /** The listener is called whenever the program is asked to read its configuration again. */
  onReload(listener: () => void): void;
}

export const exitCode = { done: 0, failed: 1, misused: 2 } as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];
