import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { problemText } from '../../src/config/problem.ts';
import { redacted } from '../../src/config/redact.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-config-'));
});

afterAll(() => rm(directory, { recursive: true }));

async function load(notifications: unknown, env: Readonly<Record<string, string>> = {}) {
  const file = join(directory, 'mirror.config.json');
  await writeFile(file, JSON.stringify({ notifications }));
  return loadConfig({ file, env });
}

async function problems(notifications: unknown): Promise<readonly string[]> {
  const loaded = await load(notifications);
  if (loaded.ok) return [];
  return loaded.failure.map((problem) => problemText(problem).replace(/^.*mirror\.config\.json: /, ''));
}

test('a URL is enough: pushes and deletions are told', async () => {
  expect(await load([{ url: 'https://ci.lan/hook' }])).toMatchObject({
    value: { notifications: [{ url: 'https://ci.lan/hook', events: ['push', 'delete'], headers: {} }] },
  });
});

test('the environment can give them as JSON', async () => {
  const env = { ENTREPOT_NOTIFICATIONS: '[{ "url": "http://ci.lan/hook", "events": ["pull"] }]' };
  expect(await load([], env)).toMatchObject({ value: { notifications: [{ events: ['pull'] }] } });
});

test('no secret is printed', async () => {
  const headers = { Authorization: 'Bearer secret3' };
  const loaded = await load([
    { url: 'https://bob:secret1@ci.lan:8443/hook?token=secret2' },
    { url: 'https://ci.lan/hook', headers },
  ]);
  if (!loaded.ok) throw new Error('refused');
  expect(loaded.value.notifications.map(({ url }) => url)[0]).toContain('bob:secret1@');
  expect(loaded.value.notifications[1]?.headers).toEqual(headers);
  expect(redacted(loaded.value).notifications).toEqual([
    { url: 'https://(hidden)@ci.lan:8443/hook?(hidden)', events: ['push', 'delete'], headers: {} },
    { url: 'https://ci.lan/hook', events: ['push', 'delete'], headers: { Authorization: '(hidden)' } },
  ]);
});

const url = 'https://ci.lan/hook';

test.each([
  ['https://secret', 'notifications must be a list of { "url": "https://…" }'],
  [[{}], 'notifications[0].url is missing; it must be a URL'],
  [[{ url: 'secret' }], 'notifications[0].url must be a URL that starts with https:// or http:// and a host name'],
  [
    [{ url: 'ftp://secret/' }],
    'notifications[0].url must be a URL that starts with https:// or http:// and a host name',
  ],
  [[{ url: 'https://ci.lan/#secret' }], 'notifications[0].url must be a URL without fragment'],
  [
    [{ url: 'https://bob:%secret@ci.lan/' }],
    'notifications[0].url must be a URL in whose credentials a % is written as %25',
  ],
  [[{ url, events: [] }], 'notifications[0].events must be a list of at least one of "push", "pull", "delete"'],
  [[{ url, events: ['mount'] }], 'notifications[0].events[0] must be one of "push", "pull", "delete"'],
  [[{ url, headers: 'secret' }], 'notifications[0].headers must be an object of header names and their values'],
  [
    [{ url, headers: { Token: 'secret\r\nX: y' } }],
    'notifications[0].headers.Token must be a text of one line, in ASCII',
  ],
  [[{ url, headers: { Token: 4711 } }], 'notifications[0].headers.Token must be a text'],
  [[{ url, headers: { 'a b': '' } }], 'notifications[0].headers["a b"] must be the name of a header'],
  [[{ url, headers: { 'Content-Type': 'a/b' } }], 'notifications[0].headers["Content-Type"] cannot be chosen'],
  [
    [{ url: 'https://bob:secret@ci.lan/', headers: { authorization: 'secret' } }],
    'notifications[0].headers cannot name Authorization beside credentials in the URL',
  ],
  [
    [{ url }, { url: 'https://bob@ci.lan:443/hook', events: ['pull'] }],
    'notifications[1].url is the URL of notifications[0] too: one entry can list all its events',
  ],
])('%j is refused, without quoting what may be a secret', async (notifications, line) => {
  expect(await problems(notifications)).toEqual([line]);
});
