import { readVersion } from '../ops/version.ts';
import { type Invocation, parseArguments } from './arguments.ts';
import { check } from './check.ts';
import { gc } from './gc.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { ls } from './ls.ts';
import { pin, unpin } from './pin.ts';
import { serve } from './serve.ts';
import { setupDocker } from './setup-docker.ts';
import { status } from './status.ts';
import { usage } from './usage.ts';
import { user } from './user.ts';
import { verify } from './verify.ts';

/** The whole program: from the arguments behind its name to its exit code. Never rejects. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    return await execute(parseArguments(argv), io);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    io.stderr.write(`entrepot: failed unexpectedly: ${reason} (ENTREPOT_LOG_LEVEL=debug shows where)\n`);
    return exitCode.failed;
  }
}

async function execute(invocation: Invocation, io: Io): Promise<ExitCode> {
  switch (invocation.command) {
    case 'misuse':
      io.stderr.write(`entrepot: ${invocation.problem} (see entrepot --help)\n`);
      return exitCode.misused;
    case 'help':
      io.stdout.write(usage);
      return exitCode.done;
    case 'version':
      io.stdout.write(`${await readVersion()}\n`);
      return exitCode.done;
    case 'serve':
      return serve(invocation, io);
    case 'check':
      return check(invocation, io);
    case 'status':
      return status(invocation, io);
    case 'ls':
      return ls(invocation, io);
    case 'pin':
      return pin(invocation, io);
    case 'unpin':
      return unpin(invocation, io);
    case 'gc':
      return gc(invocation, io);
    case 'verify':
      return verify(invocation, io);
    case 'user':
      return user(invocation, io);
    case 'setup':
      return setupDocker(invocation, io);
    case 'tls': {
      // Nothing else needs what makes certificates, and it takes its time to load.
      const { selfSigned } = await import('./tls-self-signed.ts');
      return selfSigned(invocation, io);
    }
  }
}
