import { expect, test } from 'vitest';
import { UpstreamBody } from '../../src/mirror/upstream-body.ts';
import { Digester, digestOf } from '../../src/oci/digest.ts';

async function* inPieces(...pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(Buffer.from(piece));
}

async function readUpTo(body: UpstreamBody, end: number): Promise<string> {
  let text = '';
  while (text.length < end) {
    const target = Buffer.alloc(end - text.length);
    const count = await body.read(target, text.length);
    if (count === 0) break;
    text += target.toString('utf8', 0, count);
  }
  return text;
}

test('wrong bytes with one more behind them never make the whole of the announced length', async () => {
  const body = new UpstreamBody(
    { start: 0, size: 12, withCredentials: false, body: inPieces('wrong!', 'wrong!', '+') },
    digestOf(Buffer.from('right!right!')),
  );
  await expect(readUpTo(body, 12)).rejects.toThrow('more than the 12 bytes');
});

test('what goes on from another place is judged together with what came before', async () => {
  const whole = digestOf(Buffer.from('begun and ended'));
  for (const [rest, isRight] of [
    ['and ended', true],
    ['and faked', false],
  ] as const) {
    const digester = new Digester('sha256');
    digester.update(Buffer.from('begun '));
    const body = new UpstreamBody(
      { start: 6, size: 15, withCredentials: false, body: inPieces(rest) },
      whole,
      digester.fork(),
    );
    const target = Buffer.alloc(9);
    if (isRight) expect(await body.read(target, 6)).toBe(9);
    else await expect(body.read(target, 6)).rejects.toThrow('do not match');
  }
});
