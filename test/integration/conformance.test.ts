import { conformance } from '../conformance/suite.ts';
import { Daemon } from '../support/daemon.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

/** What it lacks is nothing. */
conformance('Entrepot', async () => {
  const origin = await FakeRegistry.start();
  const daemon = await Daemon.start(origin.url, { access: { anonymous: { pull: true, push: true } } });
  return {
    url: daemon.url,
    namespace: 'local',
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
});
