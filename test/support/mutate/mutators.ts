import type { Random } from '../../e2e/support/random.ts';
import { badDigests, documents, lengths, methods, names, noMethods, parameters, tricks, values } from './words.ts';

/** A request while it is being spoilt; see `Mutation`. */
export interface Draft {
  method: string;
  path: string;
  headers: (readonly [string, string])[];
  body: Buffer;
  version: string;
  isMisframed: boolean;
}

type Mutator = (draft: Draft, random: Random) => void;

const hexes = /[0-9a-f]{64}/;

/** Each with the name it has in a finding. */
export const mutators: readonly (readonly [string, Mutator])[] = [
  ['method', (draft, random) => (draft.method = random.pick(methods))],
  ['no method', misframing((draft, random) => (draft.method = random.pick(noMethods)))],
  ['path: trick instead of a segment', (draft, random) => segments(draft, random, () => [random.pick(tricks)])],
  ['path: trick beside a segment', (draft, random) => segments(draft, random, (old) => [old, random.pick(tricks)])],
  [
    'path: trick within a segment',
    (draft, random) => segments(draft, random, (old) => [spliced(old, random.pick(tricks), random)]),
  ],
  ['path: segment left out', (draft, random) => segments(draft, random, () => [])],
  ['path: segment twice', (draft, random) => segments(draft, random, (old) => [old, old])],
  [
    'path: segment very long',
    (draft, random) => segments(draft, random, (old) => [(old || 'a').repeat(9_000).slice(0, random.pick(lengths))]),
  ],
  [
    'path: many segments',
    (draft, random) => segments(draft, random, () => Array.from({ length: random.integer(10, 3_000) }, () => 'a')),
  ],
  ['path: encoded', (draft, random) => segments(draft, random, (old) => [old.replaceAll(/[a-z:]/g, encoded)])],
  ['path: capitals', (draft) => (draft.path = draft.path.toUpperCase())],
  ['path: cut', (draft, random) => (draft.path = draft.path.slice(0, random.integer(1, draft.path.length)))],
  [
    'path: absolute',
    (draft, random) =>
      (draft.path = `http://${random.pick(['evil.example', '127.0.0.1:22', '[::1]', ''])}${draft.path}`),
  ],
  [
    'path: no path',
    misframing((draft, random) => (draft.path = random.pick(['*', '', 'v2/', '?', '#', 'a b', '/\u0000', '/a\tb']))),
  ],
  ['digest: swapped', (draft, random) => (draft.path = draft.path.replace(hexes, (hex) => swapped(hex, random)))],
  [
    'digest: none',
    (draft, random) => (draft.path = draft.path.replace(/sha256:[0-9a-f]{64}/, random.pick(badDigests))),
  ],
  [
    'query: added',
    (draft, random) => query(draft, `${random.pick(parameters)}=${random.pick([...tricks, ...badDigests])}`),
  ],
  ['query: twice', (draft) => query(draft, draft.path.split('?')[1] ?? 'n=1&n=1')],
  [
    'query: very long',
    (draft, random) => query(draft, `${random.pick(parameters)}=${'x'.repeat(random.pick(lengths))}`),
  ],
  [
    'query: many',
    (draft, random) => query(draft, Array.from({ length: random.integer(2, 2_000) }, () => 'tag=x').join('&')),
  ],
  ['header: another value', (draft, random) => header(draft, random, ([name]) => [[name, random.pick(values)]])],
  ['header: left out', (draft, random) => header(draft, random, () => [])],
  ['header: twice', (draft, random) => header(draft, random, (old) => [old, old])],
  ['header: added', (draft, random) => draft.headers.push([random.pick(names), random.pick(values)])],
  ['header: very long', (draft, random) => draft.headers.push([random.pick(names), 'x'.repeat(random.pick(lengths))])],
  [
    'header: many',
    (draft, random) =>
      draft.headers.push(...Array.from({ length: random.integer(50, 3_000) }, (_, i) => [`X-${i}`, '1'] as const)),
  ],
  [
    'header: no header',
    misframing((draft, random) =>
      draft.headers.push([random.pick(['X Y', '', ':', 'X\u0000', 'X-\u00fc', ' X']), '1']),
    ),
  ],
  [
    'header: control character',
    misframing((draft, random) =>
      draft.headers.push(['X-Y', random.pick(['a\u0000b', 'a\rb', 'a\nb', 'a\u007fb', '\u0001'])]),
    ),
  ],
  [
    'header: injected',
    (draft, random) => draft.headers.push([random.pick(names), `x\r\nX-Injected: ${random.integer(0, 9)}`]),
  ],
  [
    'host',
    misframing((draft, random) =>
      set(draft, 'Host', random.pick(['', 'evil.example', 'a b', '[::', 'x\r\nHost: y', '../..', 'x:99999999'])),
    ),
  ],
  [
    'connection',
    misframing((draft, random) =>
      set(draft, 'Connection', random.pick(['close', 'upgrade', 'x', 'keep-alive, close', 'Content-Length'])),
    ),
  ],
  [
    'upgrade',
    misframing((draft, random) =>
      draft.headers.push(['Connection', 'Upgrade'], ['Upgrade', random.pick(['websocket', 'h2c', 'x'])]),
    ),
  ],
  [
    'length: another',
    misframing((draft, random) =>
      set(
        draft,
        'Content-Length',
        random.pick(['0', '1', '-1', '1e3', '0x5', '+5', '5, 5', '99999999999999999999', '1000', '']),
      ),
    ),
  ],
  [
    'length: none',
    misframing((draft) => (draft.headers = draft.headers.filter(([name]) => name !== 'Content-Length'))),
  ],
  ['encoding: chunked', (draft) => chunk(draft)],
  ['encoding: badly chunked', misframing((draft, random) => badlyChunk(draft, random))],
  [
    'encoding: unknown',
    misframing((draft, random) =>
      draft.headers.push([
        'Transfer-Encoding',
        random.pick(['gzip', 'chunked, chunked', 'identity', 'x', 'chunked\u000b']),
      ]),
    ),
  ],
  [
    'version',
    misframing(
      (draft, random) =>
        (draft.version = random.pick(['HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1', 'HTTP/1.1 x', '', 'HTTP/1'])),
    ),
  ],
  ['body: cut', (draft, random) => sized(draft, draft.body.subarray(0, random.integer(0, draft.body.length)))],
  [
    'body: cut off',
    misframing((draft, random) => (draft.body = draft.body.subarray(0, random.integer(0, draft.body.length)))),
  ],
  ['body: none', (draft) => sized(draft, Buffer.alloc(0))],
  ['body: twice', (draft) => sized(draft, Buffer.concat([draft.body, draft.body]))],
  ['body: another byte', (draft, random) => sized(draft, flipped(draft.body, random))],
  [
    'body: other digests',
    (draft, random) =>
      sized(
        draft,
        text(draft, (old) => old.replaceAll(new RegExp(hexes, 'g'), (hex) => swapped(hex, random))),
      ),
  ],
  [
    'body: trick in JSON',
    (draft, random) =>
      sized(
        draft,
        text(draft, (old) =>
          old.replace(/"[^"]+"/g, (part) => (random.next() < 0.2 ? JSON.stringify(random.pick(tricks)) : part)),
        ),
      ),
  ],
  ['body: other JSON', (draft, random) => sized(draft, Buffer.from(random.pick(documents)))],
  ['body: deep JSON', (draft, random) => sized(draft, Buffer.from(nested(random.pick([100, 10_000, 100_000]))))],
  [
    'body: noise',
    (draft, random) =>
      sized(draft, Buffer.from(Array.from({ length: random.integer(1, 2_000) }, () => random.integer(0, 255)))),
  ],
];

function misframing(mutate: Mutator): Mutator {
  return (draft, random) => {
    mutate(draft, random);
    draft.isMisframed = true;
  };
}

function segments(draft: Draft, random: Random, change: (old: string) => readonly string[]): void {
  const [path = '', ...rest] = draft.path.split('?');
  const parts = path.split('/');
  const at = random.integer(1, Math.max(1, parts.length - 1));
  parts.splice(at, 1, ...change(parts[at] ?? ''));
  draft.path = [parts.join('/'), ...rest].join('?');
}

function query(draft: Draft, more: string): void {
  draft.path += `${draft.path.includes('?') ? '&' : '?'}${more}`;
}

type Header = readonly [string, string];

/** Of any header but those that tell where the body ends and to whom it goes; those have their own mutations. */
function header(draft: Draft, random: Random, change: (old: Header) => readonly Header[]): void {
  const candidates = draft.headers.filter(([name]) => !['Host', 'Content-Length', 'Transfer-Encoding'].includes(name));
  const old = random.pick(candidates.length > 0 ? candidates : [['Accept', '*/*'] as const]);
  draft.headers = [...draft.headers.filter((one) => one !== old), ...change(old)];
}

function set(draft: Draft, name: string, value: string): void {
  draft.headers = [...draft.headers.filter(([other]) => other !== name), [name, value]];
}

/** Replaces the body and says how long it is. */
function sized(draft: Draft, body: Buffer): void {
  draft.body = body;
  if (!draft.headers.some(([name]) => name === 'Transfer-Encoding')) set(draft, 'Content-Length', String(body.length));
  else draft.isMisframed = true;
}

function chunk(draft: Draft): void {
  draft.headers = draft.headers.filter(([name]) => name !== 'Content-Length' && name !== 'Transfer-Encoding');
  draft.headers.push(['Transfer-Encoding', 'chunked']);
  const size = draft.body.length === 0 ? '' : `${draft.body.length.toString(16)}\r\n`;
  const end = draft.body.length === 0 ? '0\r\n\r\n' : '\r\n0\r\n\r\n';
  draft.body = Buffer.concat([Buffer.from(size), draft.body, Buffer.from(end)]);
}

function badlyChunk(draft: Draft, random: Random): void {
  draft.headers.push(['Transfer-Encoding', 'chunked']);
  const sizes = [
    'zz\r\n',
    '-1\r\n',
    'fffffffffffffffff\r\n',
    '5\r\nab\r\n0\r\n\r\n',
    '5;x=\u0000\r\n',
    '\r\n',
    '1\r\na\r\n0\r\nX: y\r\n',
  ];
  draft.body = Buffer.concat([Buffer.from(random.pick(sizes)), draft.body]);
}

function spliced(old: string, trick: string, random: Random): string {
  const at = random.integer(0, old.length);
  return old.slice(0, at) + trick + old.slice(at);
}

function encoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16)}`;
}

function swapped(hex: string, random: Random): string {
  const at = random.integer(0, hex.length - 2);
  return `${hex.slice(0, at)}${hex.charAt(at + 1)}${hex.charAt(at)}${hex.slice(at + 2)}`;
}

function flipped(body: Buffer, random: Random): Buffer {
  if (body.length === 0) return Buffer.from([random.integer(0, 255)]);
  const copy = Buffer.from(body);
  const at = random.integer(0, body.length - 1);
  copy[at] = (copy[at] ?? 0) ^ random.integer(1, 255);
  return copy;
}

function text(draft: Draft, change: (old: string) => string): Buffer {
  return Buffer.from(change(draft.body.toString()));
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}
