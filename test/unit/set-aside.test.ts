import { expect, test } from 'vitest';
import { HostedIndex } from '../../src/ledger/hosted-index.ts';
import { HotLedger } from '../../src/ledger/hot-ledger.ts';
import { setAside } from '../../src/mirror/set-aside.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { hosted, type Repository } from '../../src/oci/repository-name.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskBlobStore } from '../../src/store/disk-blob-store.ts';
import { repositoryNamed } from '../contract/words.ts';
import { LedgerFiles } from '../support/ledger-files.ts';

const app: Repository = { registry: hosted, name: repositoryNamed('x/local/app').name };

/** A damaged blob of 1000 bytes and a sound one of 5000, both cached. */
async function open(files: LedgerFiles) {
  const store = await DiskBlobStore.open(files.root, new Budget(100_000), { minFree: 0 });
  const ledger = new HotLedger(files.ledger);
  const index = new HostedIndex({ sqlite: files.sqlite, journal: files.journal, hot: ledger });
  store.lookUp = (digest) => ledger.blob(digest);
  for (const bytes of [Buffer.alloc(1_000, 'damaged'), Buffer.alloc(5_000, 'sound')]) {
    const blob = { digest: digestOf(bytes), size: bytes.length, isPublic: true, storedAt: 1 };
    await store.put(blob.digest, bytes, () => ledger.addBlob(blob, repositoryNamed('docker.io/library/app')));
  }
  const damaged = digestOf(Buffer.alloc(1_000, 'damaged'));
  const look = async () => {
    const record = await ledger.blob(damaged);
    if (record === undefined) throw new Error('it is not there');
    return record;
  };
  const mount = () => store.mount(damaged, () => index.addMount(app, damaged, 2));
  const takeBack = async () => {
    await index.unlink(app, damaged);
    await store.unhost(damaged, 1_000, (hasRoom) => index.takeBack(damaged, 99, hasRoom));
  };
  return { store, ledger, damaged, look, mount, takeBack };
}

test.each([
  ['mounted', false],
  ['taken back', true],
])('what is %s between the look at it and its setting aside is set aside, and counted once', async (_, isHosted) => {
  await using files = await LedgerFiles.start();
  const { store, ledger, damaged, look, mount, takeBack } = await open(files);
  if (isHosted) await mount();
  const seen = await look();
  expect(seen.isHosted).toBe(isHosted);
  await (isHosted ? takeBack() : mount());
  await setAside(seen, { ledger, store });
  expect(await ledger.blob(damaged)).toBeUndefined();
  expect((await store.leftovers()).map(({ digest, size }) => [digest, size])).toEqual([[damaged, 1_000]]);
  expect(store.room.budget.taken).toBe(6_000);
});
