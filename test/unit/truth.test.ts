import { validateHeaderValue } from 'node:http';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { truthHeaders } from '../../src/http/truth.ts';
import type { UpstreamFailure } from '../../src/mirror/failure.ts';
import { missed, type Provenance } from '../../src/mirror/provenance.ts';

const now = 1_700_000_000_000;
const since = now - 90_999;

function because(reason: string, more: Partial<Extract<UpstreamFailure, { kind: 'unavailable' }>> = {}): Provenance {
  return { kind: 'stale', since, because: { kind: 'unavailable', reason, retryAfterSeconds: 1, ...more } };
}

describe('Cache-Status of', () => {
  test.each<[string, Provenance, string]>([
    ['a hit', { kind: 'hit', since }, 'entrepot; hit'],
    ['a miss that is stored', missed(true, false), 'entrepot; fwd=miss; stored'],
    ['a miss that joined another’s', missed(true, true), 'entrepot; fwd=miss; collapsed'],
    ['a miss without room', missed(false, false), 'entrepot; fwd=miss; detail=no-room'],
    ['a joined miss without room', missed(false, true), 'entrepot; fwd=miss; collapsed; detail=no-room'],
    [
      'a list, which is never stored',
      { kind: 'miss', stored: false, collapsed: false, detail: 'never-stored' },
      'entrepot; fwd=miss; detail=never-stored',
    ],
    [
      'a tag that is confirmed',
      { kind: 'revalidated', stored: false, collapsed: false },
      'entrepot; fwd=stale; fwd-status=200',
    ],
    [
      'a tag that has moved',
      { kind: 'revalidated', stored: true, collapsed: false },
      'entrepot; fwd=stale; fwd-status=200; stored',
    ],
    [
      'a tag that another confirmed',
      { kind: 'revalidated', stored: false, collapsed: true },
      'entrepot; fwd=stale; fwd-status=200; collapsed',
    ],
    [
      'a stale tag while the quota is spent',
      { kind: 'stale', since, because: { kind: 'rate-limited', reason: 'x', retryAfterSeconds: 30 } },
      'entrepot; fwd=stale; fwd-status=429',
    ],
    ['a stale tag while the upstream errs', because('x', { status: 502 }), 'entrepot; fwd=stale; fwd-status=502'],
    ['a stale tag without a line', because('x'), 'entrepot; fwd=stale; detail=unavailable'],
    [
      'a stale tag whose upstream talks nonsense',
      { kind: 'stale', because: { kind: 'wrong-answer', reason: 'x' } },
      'entrepot; fwd=stale; detail=wrong-answer',
    ],
  ])('%s', (_, provenance, expected) => {
    expect(truthHeaders(provenance, now)['Cache-Status']).toBe(expected);
  });
});

describe('Age is', () => {
  test('the whole seconds since what is served was known to be right', () => {
    expect(truthHeaders({ kind: 'hit', since }, now)['Age']).toBe('90');
    expect(truthHeaders(because('x'), now)['Age']).toBe('90');
  });

  test('nothing for what has just come, and for a list of which nobody knows the age', () => {
    expect(truthHeaders(missed(true, false), now)['Age']).toBe('0');
    expect(truthHeaders({ kind: 'stale', because: { kind: 'wrong-answer', reason: 'x' } }, now)['Age']).toBe('0');
  });

  test('never below nothing, when the clock was wrong', () => {
    expect(truthHeaders({ kind: 'hit', since: now + 1_000_000 }, now)['Age']).toBe('0');
  });
});

describe('Warning', () => {
  test('says why a stale answer is served', () => {
    expect(truthHeaders(because('connection refused'), now)['Warning']).toBe(
      '299 - "served from the cache, the upstream could not be asked: connection refused"',
    );
  });

  test.each<[string, Provenance]>([
    ['a hit', { kind: 'hit', since }],
    ['a miss', missed(true, false)],
    ['a revalidation', { kind: 'revalidated', stored: true, collapsed: false }],
  ])('is absent from %s', (_, provenance) => {
    expect(truthHeaders(provenance, now)).not.toHaveProperty('Warning');
  });

  test.each([
    ['another header', 'x\r\nSet-Cookie: session=1'],
    ['another response', 'x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['the end of its quotes', 'x", 199 - "all is well'],
    ['an escape', 'x\\" y \\'],
    ['zero bytes and escapes', 'x\u0000\u001b[31m\u007f'],
    ['other scripts', 'Verbindung zurückgesetzt — 接続 🚢'],
    ['line separators', 'x\u2028\u2029\u0085'],
    ['a novel', 'x'.repeat(1_000_000)],
  ])('cannot be made to carry %s by an upstream’s reason', (_, reason) => {
    expectSound(reason);
  });

  test('is sound whatever the reason', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 3_000 }), expectSound));
  });

  function expectSound(reason: string): void {
    for (const [name, value] of Object.entries(truthHeaders(because(reason), now))) validateHeaderValue(name, value);
    const warning = truthHeaders(because(reason), now)['Warning'] ?? '';
    expect(warning).toMatch(/^299 - "[\x20\x21\x23-\x5b\x5d-\x7e]*"$/);
    expect(warning.length).toBeLessThan(2_000);
  }
});
