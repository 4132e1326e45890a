import { type ConfigProblems, problemText } from '../config/problem.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { jsonText } from './text.ts';

/** All that is wrong with a configuration, as JSON on standard output if that is what the caller reads. */
export function tellProblems(problems: ConfigProblems, { json }: { readonly json: boolean }, io: Io): ExitCode {
  if (json) io.stdout.write(jsonText({ problems }));
  else io.stderr.write(problems.map((problem) => `${problemText(problem)}\n`).join(''));
  return exitCode.misused;
}
