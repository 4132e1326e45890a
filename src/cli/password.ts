import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Io } from './io.ts';

/** Of what is read when a password is expected: no password is as long. */
const maxInputBytes = 4_096;

/** A new password: asked for twice on a terminal, without showing it, else the first line of standard input. */
export async function readNewPassword(name: string, io: Io): Promise<Result<string, string>> {
  if (io.stdin.isTTY !== true) return readLine(io);
  const first = await ask(`New password for ${name}: `, io);
  if (first === undefined) return fail('nothing was changed');
  const second = await ask('The same again: ', io);
  if (second === undefined) return fail('nothing was changed');
  return first === second ? ok(first) : fail('the two were not the same; nothing was changed');
}

/** Only the first line: `echo secret |` ends it, `printf secret |` does not. */
async function readLine({ stdin }: Io): Promise<Result<string, string>> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    pieces.push(bytes);
    length += bytes.length;
    if (length > maxInputBytes) return fail('what came from standard input is too long for a password');
    if (bytes.includes('\n')) break;
  }
  const [line = ''] = Buffer.concat(pieces).toString('utf8').split(/\r?\n/);
  return ok(line);
}

/** Undefined when it was broken off. */
function ask(question: string, { stdin, stderr, stop }: Io): Promise<string | undefined> {
  stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: true, historySize: 0 });
  return new Promise((resolve) => {
    let answer: string | undefined;
    const close = () => lines.close();
    stop.addEventListener('abort', close, { once: true });
    lines.once('SIGINT', close);
    lines.once('line', (line) => {
      answer = line;
      close();
    });
    lines.once('close', () => {
      stop.removeEventListener('abort', close);
      stderr.write('\n');
      resolve(answer);
    });
  });
}
