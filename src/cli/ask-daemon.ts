import { socketPathOf } from '../admin/socket-path.ts';
import { loadConfig } from '../config/load.ts';
import { AdminClient, AdminError } from './admin-client.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { tellProblems } from './problems.ts';
import { ReaderLeft } from './write.ts';

export interface AskOptions {
  /** The file that says where the data directory is, and so the daemon. */
  readonly config: string;
  readonly json: boolean;
}

/** Runs a command against the daemon of the configuration, and tells in one sentence why that did not work. */
export async function askDaemon(
  options: AskOptions,
  io: Io,
  command: (daemon: AdminClient) => Promise<ExitCode>,
): Promise<ExitCode> {
  const loaded = await loadConfig({ file: options.config, env: io.env });
  if (!loaded.ok) return tellProblems(loaded.failure, options, io);
  const dataPath = loaded.value.storage.path;
  const socketPath = socketPathOf(dataPath);
  if (!socketPath.ok) {
    io.stderr.write(`entrepot: ${socketPath.failure.reason}\n`);
    return exitCode.misused;
  }
  try {
    return await command(new AdminClient({ socketPath: socketPath.value, dataPath, signal: io.stop }));
  } catch (error) {
    if (error instanceof ReaderLeft) return exitCode.done;
    if (!(error instanceof AdminError)) throw error;
    io.stderr.write(`entrepot: ${error.message}\n`);
    return exitCode.failed;
  }
}
