import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { createLogger, type Logger, type LogOptions } from '../../src/ops/logger.ts';

async function logged(options: LogOptions, write: (log: Logger) => void): Promise<string> {
  const stream = new PassThrough();
  write(createLogger(options, stream));
  stream.end();
  return text(stream);
}

describe.each(['json', 'pretty'] as const)('the %s log', (format) => {
  test('never shows a secret, wherever it is', async () => {
    const output = await logged({ level: 'info', format }, (log) => {
      const error = Object.assign(new Error('refused'), { response: { headers: { 'set-cookie': ['hunter2'] } } });
      log.info({ password: 'hunter2', request: { headers: { Authorization: 'hunter2', accept: 'a/b' } } }, 'one');
      log.info({ tokens: [{ access_token: 'hunter2', refreshToken: 'hunter2', expires: 60 }] }, 'two');
      log.error({ err: error, cause: error }, 'three');
      log.child({ token: 'hunter2' }).info('four');
    });
    for (const visible of ['one', 'two', 'three', 'four', 'a/b', 'refused', '(hidden)'])
      expect(output).toContain(visible);
    expect(output).not.toContain('hunter2');
  });
});

test('a line of JSON has its time as ISO 8601 and its level as a word', async () => {
  const output = await logged({ level: 'warn', format: 'json' }, (log) => {
    log.info('not logged');
    log.warn({ digest: 'sha256:0' }, 'logged');
  });
  expect(JSON.parse(output)).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
    digest: 'sha256:0',
    msg: 'logged',
  });
});

test('what loops is cut off', async () => {
  const loop: Record<string, unknown> = { name: 'x' };
  loop['self'] = loop;
  expect(await logged({ level: 'info', format: 'json' }, (log) => log.info({ loop }, 'logged'))).toContain(
    '(not shown)',
  );
});
