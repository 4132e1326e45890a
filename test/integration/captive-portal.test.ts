import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { Daemon, dockerIo } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

const tagPath = '/v2/library/app/manifests/1.0';

/** The network of a ship or a hotel: every address answers 200 with the same page. */
class CaptivePortal implements AsyncDisposable {
  readonly #server = createServer((_, res) => {
    res.setHeader('Content-Type', 'text/html; charset=utf-8');
    res.end('<html>Please log in</html>');
  });

  static async start(): Promise<CaptivePortal> {
    const portal = new CaptivePortal();
    await once(portal.#server.listen(0, '127.0.0.1'), 'listening');
    return portal;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await once(this.#server.close(), 'close');
  }
}

test('the page of a captive portal is no manifest: the cached copy is served, with a Warning, and stays', async () => {
  await using origin = await FakeRegistry.start();
  const image = origin.addImage('library/app', '1.0', { layers: [randomBytes(60_000)] });
  await using portal = await CaptivePortal.start();
  await using daemon = await Daemon.start(origin.url, dockerIo(origin.url, { tagTtl: '0s' }));
  await (await daemon.get(tagPath)).arrayBuffer();

  await daemon.reload(dockerIo(portal.url, { tagTtl: '0s' }));
  for (let attempt = 0; attempt < 2; attempt++) {
    const answer = await daemon.get(tagPath);
    expect(Buffer.from(await answer.arrayBuffer()).toString()).toBe(image.bytes.toString());
    expect(answer.headers.get('warning')).toMatch(/^299 - "/);
  }
});

test('the page of a captive portal is no manifest: with nothing cached it is a 502, and nothing is stored', async () => {
  await using origin = await FakeRegistry.start();
  const image = origin.addImage('library/app', '1.0', { layers: [randomBytes(60_000)] });
  await using portal = await CaptivePortal.start();
  await using daemon = await Daemon.start(portal.url);
  expect((await daemon.get(tagPath)).status).toBe(502);
  await daemon.reload(dockerIo(origin.url));
  expect(Buffer.from(await (await daemon.get(tagPath)).arrayBuffer()).toString()).toBe(image.bytes.toString());
});

test('a captive portal vouches for nothing: private content stays private while it answers 200 to everything', async () => {
  const account = { username: 'mirror', password: 'hub-secret' };
  const users = { mirror: 'hub-secret' };
  await using origin = await FakeRegistry.start({ auth: 'token', users, privateRepositories: ['team/secret'] });
  const { layers, manifest } = origin.addImage('team/secret', '1.0', { layers: [randomBytes(5000)] });
  const { digest } = layers[0]!;
  await using portal = await CaptivePortal.start();
  await using daemon = await Daemon.start(
    origin.url,
    dockerIo(origin.url, { ...account, privateRepositories: 'anyone' }),
  );
  await daemon.get('/v2/team/secret/manifests/1.0');
  await (await daemon.get(`/v2/team/secret/blobs/${digest}`)).arrayBuffer();
  await daemon.stored(digest);

  for (const settings of [{}, { privateRepositories: 'anyone' }]) {
    await daemon.reload(dockerIo(portal.url, settings));
    for (const path of [`blobs/${digest}`, `manifests/${manifest.digest}`]) {
      for (const method of ['HEAD', 'GET']) {
        expect((await daemon.get(`/v2/library/other/${path}`, { method })).status, `${method} ${path}`).toBe(502);
      }
    }
  }
});
