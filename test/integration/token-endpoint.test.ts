import { expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

test('a token says when it was issued in the form that engines read: RFC 3339, not a number', async () => {
  await using origin = await FakeRegistry.start();
  await using daemon = await Daemon.start(origin.url);
  const scope = 'repository:library/app:pull';
  const answer = await daemon.get(`/token?service=entrepot&scope=${scope}`);
  expect(answer.status).toBe(200);
  const { token, access_token, expires_in, issued_at } = (await answer.json()) as Record<string, unknown>;
  expect(access_token).toBe(token);
  expect(expires_in).toBeGreaterThanOrEqual(60);
  expect(issued_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
});
