import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

test('a blob whose file somebody removed is stored again, in the room that it had', async () => {
  await using origin = await FakeRegistry.start();
  const image = origin.addImage('library/app', '1.0', { layers: [randomBytes(600_000)] });
  await using daemon = await Daemon.start(origin.url, { storage: { path: 'data', maxSize: '1MB' } });
  await daemon.get('/v2/library/app/manifests/1.0');
  const { digest } = image.layers[0]!;
  const path = `/v2/library/app/blobs/${digest}`;
  await (await daemon.get(path)).arrayBuffer();
  await daemon.stored(digest);
  await daemon.restart();

  const hex = digest.slice('sha256:'.length);
  await rm(join(daemon.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex));
  const again = await daemon.get(path);
  await again.arrayBuffer();
  expect(again.headers.get('cache-status')).toBe('entrepot; fwd=miss; stored');
});
