import { appendFile, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { Fact } from '../../src/ledger/facts.ts';
import { Journal, readJournal } from '../../src/ledger/journal.ts';
import { JournaledLedger } from '../../src/ledger/journaled-ledger.ts';
import { recoveryOf } from '../../src/ledger/rebuild.ts';
import { keepJournal, rewriteJournal } from '../../src/ledger/rewrite-journal.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { repositoryNamed, tagNamed } from '../contract/words.ts';
import { atOnce, LedgerFiles, never, StoreInMemory } from '../support/ledger-files.ts';

const app = repositoryNamed('docker.io/library/app');
const secret = repositoryNamed('docker.io/team/secret');
const latest = tagNamed('latest');
const imageType = 'application/vnd.oci.image.manifest.v1+json';

const layer = Buffer.from('layer');
const image = Buffer.from(JSON.stringify({ mediaType: imageType, config: described(layer) }));

function described(bytes: Uint8Array) {
  return { digest: digestOf(bytes), size: bytes.length };
}

async function addImage(files: LedgerFiles, { isPublic = true, repository = app } = {}): Promise<StoreInMemory> {
  const child = { ...described(layer), kind: 'blob' as const };
  await files.ledger.addBlob({ ...described(layer), isPublic, storedAt: 1 }, repository);
  const record = { ...described(image), isPublic, storedAt: 2, mediaType: imageType };
  await files.ledger.addManifest(record, [child], repository);
  await files.ledger.setTag(repository, latest, digestOf(image), 3);
  const store = new StoreInMemory();
  for (const bytes of [layer, image]) store.files.set(digestOf(bytes), bytes);
  return store;
}

async function linesOf(files: LedgerFiles): Promise<string[]> {
  return (await readFile(files.path('journal.ndjson'), 'utf8')).split('\n').slice(1, -1);
}

test('each fact is in the file before the ledger’s promise has told of it', async () => {
  await using files = await LedgerFiles.start();
  await files.ledger.addPin('docker.io/**', 1);
  expect(await linesOf(files)).toEqual(['{"is":"pin","pattern":"docker.io/**","at":1}']);
});

test('a write that the ledger refuses leaves no fact', async () => {
  await using files = await LedgerFiles.start();
  const bad = { ...described(layer), size: -1, isPublic: true, storedAt: 1 };
  await expect(files.ledger.addBlob(bad, app)).rejects.toThrow();
  expect(await linesOf(files)).toEqual([]);
});

test('last use is no fact', async () => {
  await using files = await LedgerFiles.start();
  await addImage(files);
  const before = await linesOf(files);
  files.ledger.touch(digestOf(image), 99);
  await files.ledger.settleTag(app, latest);
  expect(await linesOf(files)).toEqual(before);
});

test('private content is never public after a recovery', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files, { isPublic: false, repository: secret });
  await files.loseLedger();
  await files.start(store);
  expect((await files.ledger.blob(digestOf(layer)))?.isPublic).toBe(false);
  expect((await files.ledger.manifest(digestOf(image)))?.isPublic).toBe(false);
  expect(await files.ledger.isLinked(secret, digestOf(layer))).toBe(true);
  expect(await files.ledger.isLinked(app, digestOf(layer))).toBe(false);
  expect(await files.ledger.visibility(secret)).toBeUndefined();
});

test('what was public, forgotten, and stored again for an account only is private, even if the forgetting was not written', async () => {
  await using files = await LedgerFiles.start();
  const blob = { ...described(layer), storedAt: 1 };
  await files.ledger.addBlob({ ...blob, isPublic: true }, app);
  await files.ledger.forget(blob.digest);
  await files.ledger.addBlob({ ...blob, isPublic: false }, secret);
  await files.loseLedger();
  const lines = (await readFile(files.path('journal.ndjson'), 'utf8')).replace(/^.*"forgotten".*$/m, 'torn');
  await writeFile(files.path('journal.ndjson'), lines);
  const store = new StoreInMemory();
  store.files.set(blob.digest, layer);
  const recovery = await files.start(store);
  expect((await files.ledger.blob(blob.digest))?.isPublic).toBe(false);
  expect(recovery?.lost).toContain('1 line of journal.ndjson could not be read.');
});

test('a blob that a public manifest names, and of which no fact speaks, is not public and nobody’s', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  await files.loseLedger();
  const lines = await readFile(files.path('journal.ndjson'), 'utf8');
  const without = lines.split('\n').filter((line) => !line.includes(`"digest":"${digestOf(layer)}"`));
  await writeFile(files.path('journal.ndjson'), without.join('\n'));
  const recovery = await files.start(store);
  expect(await files.ledger.blob(digestOf(layer))).toBeUndefined();
  expect(await files.ledger.isLinked(app, digestOf(layer))).toBe(false);
  expect((await files.ledger.manifest(digestOf(image)))?.isPublic).toBe(true);
  expect(recovery?.recovered).toEqual({ blobs: 0, manifests: 1, tags: 1 });
  expect(recovery?.lost.join()).toContain('What repository 1 stored file came from');
  // As the comparison with the store takes it in.
  await files.ledger.addBlob({ ...described(layer), isPublic: false, storedAt: 9 }, undefined);
  expect((await files.ledger.blob(digestOf(layer)))?.isPublic).toBe(false);
});

test('a file that is not what the facts say is put where nothing serves it', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  // As long as the true one, and a manifest too.
  const forged = Buffer.from(image.toString().replace(described(layer).digest, digestOf(Buffer.from('other layer'))));
  expect(forged).toHaveLength(image.length);
  store.files.set(digestOf(image), forged);
  store.files.set(digestOf(layer), layer.subarray(1));
  await files.loseLedger();
  const recovery = await files.start(store);
  expect(store.quarantined).toEqual(new Set([digestOf(image), digestOf(layer)]));
  expect(await files.ledger.totals()).toEqual({ blobs: 0, bytes: 0, hostedBlobs: 0, hostedBytes: 0 });
  expect(await files.ledger.tag(app, latest)).toBeUndefined();
  expect(recovery?.lost).toEqual([
    '2 stored files did not hold what was recorded.',
    '1 tag named a manifest that is not stored any more.',
  ]);
});

const lateLayer = Buffer.from('not pulled yet');
const newer = Buffer.from(JSON.stringify({ mediaType: imageType, config: described(lateLayer) }));

/** The tag moves to an image whose layer nobody has pulled. */
async function moveTag(files: LedgerFiles): Promise<void> {
  const record = { ...described(newer), isPublic: true, storedAt: 4, mediaType: imageType };
  await files.ledger.addManifest(record, [{ ...described(lateLayer), kind: 'blob' }], app);
  await files.ledger.setTag(app, latest, record.digest, 5);
}

test('a tag keeps what it falls back to', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  await moveTag(files);
  store.files.set(digestOf(newer), newer);
  await files.loseLedger();
  await files.start(store);
  const fallback = digestOf(image);
  expect(await files.ledger.tag(app, latest)).toEqual({ digest: digestOf(newer), checkedAt: 5, fallback });
});

test('a tag that needs its fallback no more has none', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  await moveTag(files);
  await files.ledger.addBlob({ ...described(lateLayer), isPublic: true, storedAt: 6 }, app);
  expect((await files.ledger.settleTag(app, latest))?.fallback).toBeUndefined();
  for (const bytes of [newer, lateLayer]) store.files.set(digestOf(bytes), bytes);
  await files.loseLedger();
  await files.start(store);
  expect(await files.ledger.tag(app, latest)).toEqual({ digest: digestOf(newer), checkedAt: 5 });
});

test.each(['evicted', 'lost'])('a tag whose manifest was %s becomes what it fell back to', async (how) => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  await moveTag(files);
  if (how === 'evicted') await files.ledger.evict(digestOf(newer), new Set());
  await files.loseLedger();
  await files.start(store);
  // And is to be asked for again.
  expect(await files.ledger.tag(app, latest)).toEqual({ digest: digestOf(image), checkedAt: 0 });
});

test('a recovery is told of for as long as the ledger lives', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  expect(recoveryOf(files.sqlite)).toBeUndefined();
  await files.loseLedger();
  const recovery = await files.start(store);
  expect(recovery).toMatchObject({ reason: 'ledger.db was not there', setAside: null });
  files.stop();
  expect(await files.start(store)).toBeUndefined();
  expect(recoveryOf(files.sqlite)).toEqual(recovery);
});

test('without a journal, everything that is stored is counted as unknown', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  await files.loseLedger();
  await rm(files.path('journal.ndjson'));
  const recovery = await files.start(store);
  expect(recovery?.recovered).toEqual({ blobs: 0, manifests: 0, tags: 0 });
  expect(recovery?.lost.join(' ')).toMatch(/no journal.*repositories, tags.*2 stored files/);
});

test('a recovery that was stopped on the way begins again, for the same reason', async () => {
  await using files = await LedgerFiles.start();
  const store = await addImage(files);
  files.stop();
  await writeFile(files.path(), 'no ledger');
  const stopping = new AbortController();
  const onProgress = () => stopping.abort(new Error('stopping'));
  await expect(files.start(store, { signal: stopping.signal, onProgress })).rejects.toThrow('stopping');
  const recovery = await files.start(store);
  expect(recovery?.reason).toMatch(/^ledger.db was damaged/);
  expect(recovery?.setAside).toMatch(/^ledger\.db\.damaged-/);
  expect(await files.ledger.tag(app, latest)).toEqual({ digest: digestOf(image), checkedAt: 3 });
  expect((await readdir(files.root)).filter((name) => name.includes('damaged'))).toEqual([recovery?.setAside]);
});

test('a ledger without a journal gets one, and it is there only when it is whole', async () => {
  await using files = await LedgerFiles.start();
  await addImage(files);
  const before = await linesOf(files);
  files.stop();
  await rm(files.path('journal.ndjson'));
  const { ledger } = await files.open();
  const journal = await Journal.open(files.root, (error) => expect.unreachable(error.message));
  const stopping = new AbortController();
  const sleep = async () => {
    expect(await readdir(files.root)).not.toContain('journal.ndjson');
    stopping.abort();
  };
  await rewriteJournal({ journal, rows: ledger.rows, clock: { sleep }, signal: stopping.signal });
  expect((await readdir(files.root)).filter((name) => name.startsWith('journal'))).toEqual([]);
  await rewriteJournal({ journal, rows: ledger.rows, clock: atOnce, signal: never });
  // The first of two proofs that everybody may have the repository is history.
  expect((await linesOf(files)).sort()).toEqual(before.filter((line) => !line.includes('"checkedAt":1')).sort());
  journal.close();
  ledger.close({ clean: true });
});

test('a journal that is mostly history is rewritten', async () => {
  await using files = await LedgerFiles.start();
  await addImage(files);
  const facts = Array.from({ length: 1_000 }, (): Fact => ({ is: 'no pin', pattern: 'x'.repeat(1_000) }));
  for (let mebibytes = 0; mebibytes < 70; mebibytes++) files.journal.append(facts);
  const stopping = new AbortController();
  const sleep = (milliseconds: number) => {
    if (milliseconds >= 60_000) stopping.abort();
    return Promise.resolve();
  };
  const onTrouble = (error: unknown) => expect.unreachable(String(error));
  const { journal, sqlite } = files;
  await keepJournal({ journal, rows: sqlite.rows, clock: { sleep }, signal: stopping.signal, onTrouble });
  expect(files.journal.bytes).toBeLessThan(10_000);
  expect((await stat(files.path('journal.ndjson'))).size).toBe(files.journal.bytes);
  expect(await linesOf(files)).toHaveLength(6);
});

test('a full disk fails no write, is told of once, and is made up for by a rewriting', async () => {
  await using files = await LedgerFiles.start();
  files.stop();
  await rm(files.path('journal.ndjson'));
  await symlink('/dev/full', files.path('journal.ndjson'));
  const { ledger: sqlite } = await files.open();
  const trouble: string[] = [];
  const journal = await Journal.open(files.root, (error) => trouble.push(error.message));
  const ledger = new JournaledLedger(sqlite, journal);
  await ledger.addPin('one', 1);
  await ledger.addPin('two', 2);
  expect(await ledger.pins()).toEqual(['one', 'two']);
  expect(trouble).toEqual([expect.stringContaining('ENOSPC')]);
  expect(journal.hasGap).toBe(true);
  await rewriteJournal({ journal, rows: sqlite.rows, clock: atOnce, signal: never });
  expect(journal.hasGap).toBe(false);
  await ledger.addPin('three', 3);
  expect(await linesOf(files)).toHaveLength(3);
  expect(trouble).toHaveLength(1);
  journal.close();
  sqlite.close({ clean: true });
});

test('a rewriting that the disk has no room for leaves the journal as it is', async () => {
  await using files = await LedgerFiles.start();
  await files.ledger.addPin('one', 1);
  await symlink('/dev/full', files.path('journal.ndjson.new'));
  await expect(files.rewrite()).rejects.toThrow('ENOSPC');
  expect((await readdir(files.root)).filter((name) => name.startsWith('journal'))).toEqual(['journal.ndjson']);
  await files.ledger.addPin('two', 2);
  expect(await linesOf(files)).toHaveLength(2);
});

test('a line after a torn one begins afresh', async () => {
  await using files = await LedgerFiles.start();
  await files.ledger.addPin('one', 1);
  files.stop();
  await appendFile(files.path('journal.ndjson'), '{"is":"pin","patt');
  await files.start(new StoreInMemory());
  await files.ledger.addPin('two', 2);
  files.stop();
  const facts: Fact[] = [];
  for await (const piece of readJournal(files.root)) facts.push(...piece.facts);
  expect(facts).toEqual([
    { is: 'pin', pattern: 'one', at: 1 },
    { is: 'pin', pattern: 'two', at: 2 },
  ]);
});

test('a journal of a newer version is refused, and stays as it was', async () => {
  await using files = await LedgerFiles.start();
  files.stop();
  await writeFile(files.path('journal.ndjson'), '{"journal":2}\nwho knows\n');
  await expect(Journal.open(files.root, () => undefined)).rejects.toThrow(/format 2.*newer/);
  expect(await readFile(files.path('journal.ndjson'), 'utf8')).toBe('{"journal":2}\nwho knows\n');
});
