import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { ImageListing } from '../../src/admin/operations.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Entrepot, everyonePushes } from './support/entrepot.ts';
import { type FleetImage, publishFleet, pullEverything, WrongBytes } from './support/fleet.ts';
import { showLogsOfFailedTests } from './support/log.ts';
import { PushLoad } from './support/push-load.ts';
import { Random, setting } from './support/random.ts';
import { until } from './support/scratch.ts';
import { sha256OfFile } from './support/tree.ts';
import { bytesInUse, filesIn, type IsCounted, UsageWatch } from './support/usage.ts';

showLogsOfFailedTests();

const MB = 1_000_000;
const cap = 30 * MB;
const clientsAtOnce = 6;
const pushersAtOnce = 3;
const upstreamBytesPerSecond = 50 * MB;
const loadMs = { shortest: 30, longest: 800 };
/** A start takes about as long until it has recovered a ledger. */
const recoveryMs = { shortest: 100, longest: 600 };
const ledgerLostEvery = 10;
const settleMs = 3_000;
/** One state that is wrong is found again after each further kill. */
const maxViolations = 20;
const kills = setting('ENTREPOT_KILLS', 100);
const seed = setting('ENTREPOT_SEED', 7);

/** What was listed, and how many requests the upstream had seen before it was. */
interface Snapshot {
  readonly images: readonly ImageListing[];
  readonly requestsBefore: number;
}

class Crashes {
  readonly violations: string[] = [];
  pulls = 0;
  cutOff = 0;
  checkedBlobs = 0;
  partialsResumed = 0;
  snapshots = 0;
  /** When each lost ledger was recovered. */
  readonly recoveries = new Set<string>();
  readonly pushing: PushLoad;
  readonly #entrepot: Entrepot;
  readonly #origin: FakeRegistry;
  readonly #images: readonly FleetImage[];
  readonly #random: Random;
  #last: Snapshot = { images: [], requestsBefore: 0 };
  #isEnding = false;
  #kills = 0;

  constructor(entrepot: Entrepot, origin: FakeRegistry, images: readonly FleetImage[]) {
    this.#entrepot = entrepot;
    this.#origin = origin;
    this.#images = images;
    this.#random = new Random(seed);
    this.pushing = new PushLoad((path) => `${entrepot.url}/v2/local/pushed/${path}`, new Random(seed));
  }

  /** What is hosted is none of the cap's business. */
  readonly isCounted: IsCounted = (digest) => !this.pushing.digests.has(digest);

  /** Load, kill -9 in the middle of it, a new start, and a look at everything. */
  async once(): Promise<void> {
    this.#kills += 1;
    this.#origin.resetCounters();
    this.#last = await this.#snapshot();
    this.#isEnding = false;
    const load = [this.#takeSnapshots()];
    while (load.length <= pushersAtOnce) load.push(this.#pushOneAfterTheOther());
    while (load.length <= pushersAtOnce + clientsAtOnce) load.push(this.#pullOneAfterTheOther());
    await delay(this.#random.integer(loadMs.shortest, loadMs.longest));
    this.#isEnding = true;
    await this.#entrepot.kill9();
    await Promise.all(load);
    this.partialsResumed += this.#origin.requests.filter(({ status, range }) => isResumed(status, range)).length;

    if (this.#kills % ledgerLostEvery === 0) await this.#loseLedger();
    await this.#entrepot.restart();
    const { recovery } = await this.#entrepot.reconciled();
    if (recovery !== null) this.recoveries.add(recovery.at);
    await this.#checkBlobs();
    for (const violation of await this.pushing.violations()) this.#found(violation);
    await this.#checkImages();
    await this.#checkBytes();
    if (this.violations.length > maxViolations) throw new Error('that is enough');
  }

  /** And kills the start that recovers it. */
  async #loseLedger(): Promise<void> {
    for (const suffix of ['', '-wal', '-shm']) {
      await rm(join(this.#entrepot.dataPath, `ledger.db${suffix}`), { force: true });
    }
    await this.#entrepot.launch();
    await delay(this.#random.integer(recoveryMs.shortest, recoveryMs.longest));
    await this.#entrepot.kill9();
  }

  #hasEnded(): boolean {
    return this.#isEnding;
  }

  #found(violation: string): void {
    this.violations.push(`kill ${this.#kills}: ${violation}`);
  }

  /** A few images are hot, the others are asked for now and then. */
  async #pullOneAfterTheOther(): Promise<void> {
    while (!this.#hasEnded()) {
      const image =
        this.#random.next() < 0.5 ? this.#images[this.#random.integer(0, 3)]! : this.#random.pick(this.#images);
      try {
        await pullEverything(this.#entrepot.url, image);
        this.pulls += 1;
      } catch (error) {
        if (error instanceof WrongBytes || !this.#hasEnded()) this.#found(String(error));
        this.cutOff += 1;
      }
    }
  }

  async #pushOneAfterTheOther(): Promise<void> {
    try {
      await this.pushing.run(() => this.#hasEnded());
    } catch (error) {
      if (!this.#hasEnded()) this.#found(String(error));
      this.cutOff += 1;
    }
  }

  async #takeSnapshots(): Promise<void> {
    while (!this.#hasEnded()) {
      try {
        this.#last = await this.#snapshot();
      } catch (error) {
        if (!this.#hasEnded()) this.#found(`ls: ${String(error)}`);
      }
    }
  }

  async #snapshot(): Promise<Snapshot> {
    const requestsBefore = this.#origin.requests.length;
    const images = await this.#cached();
    this.snapshots += 1;
    return { images, requestsBefore };
  }

  /** The listing without what is hosted. */
  async #cached(): Promise<readonly ImageListing[]> {
    return (await this.#entrepot.socket.images()).filter(({ digest }) => this.isCounted(digest));
  }

  async #checkBlobs(): Promise<void> {
    for (const path of filesIn(this.#entrepot.dataPath, 'blobs')) {
      this.checkedBlobs += 1;
      const digest = await sha256OfFile(path);
      if (digest !== basename(path)) this.#found(`a blob is not what its name says: ${path} is ${digest}`);
    }
  }

  async #checkImages(): Promise<void> {
    const names = new Set(filesIn(this.#entrepot.dataPath, 'blobs').map((path) => `sha256:${basename(path)}`));
    const now = await this.#cached();
    for (const { digest } of now.filter(({ complete }) => complete)) {
      const missing = (await this.#blobsOf(digest)).filter((blob) => !names.has(blob));
      if (missing.length > 0) this.#found(`${digest} is listed as complete and misses ${missing.join(', ')}`);
    }
    for (const { digest } of now.filter(({ complete }) => complete)) await this.#checkNeedsNoUpstream(digest);
    const fetchedSince = this.#manifestsFetchedSince(this.#last.requestsBefore);
    for (const { digest } of this.#last.images.filter(({ complete }) => complete)) {
      const image = now.find((listing) => listing.digest === digest);
      // Evicted and half fetched again, it is rightly incomplete.
      if (image?.complete === false && !fetchedSince.has(digest)) this.#found(`${digest} was complete`);
    }
  }

  /** What is listed as complete can be pulled without an upstream: with one that is there, it is not asked for any blob. */
  async #checkNeedsNoUpstream(manifest: string): Promise<void> {
    const image = this.#images.find((candidate) => candidate.manifest === manifest)!;
    const asked = this.#origin.count({ kind: 'blob' });
    await pullEverything(this.#entrepot.url, image).catch((error: unknown) => this.#found(String(error)));
    const needed = this.#origin.requests.filter(({ kind }) => kind === 'blob').slice(asked);
    const requests = needed.map(({ method, reference }) => `${method} ${reference ?? ''}`);
    if (requests.length > 0) this.#found(`${image.name} is listed as complete and needed ${requests.join(', ')}`);
  }

  async #blobsOf(manifest: string): Promise<readonly string[]> {
    const hex = manifest.slice('sha256:'.length);
    const path = join(this.#entrepot.dataPath, 'blobs', 'sha256', hex.slice(0, 2), hex);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) return [manifest];
    const { config, layers } = JSON.parse(text) as { config: { digest: string }; layers: { digest: string }[] };
    return [config, ...layers].map(({ digest }) => digest);
  }

  #manifestsFetchedSince(requestsBefore: number): ReadonlySet<string> {
    const fetched = this.#origin.requests
      .slice(requestsBefore)
      .filter(({ kind, method }) => kind === 'manifest' && method === 'GET')
      .map(({ repository }) => repository);
    return new Set(
      this.#images.filter(({ repository }) => fetched.includes(repository)).map(({ manifest }) => manifest),
    );
  }

  /** With nothing under way, what is counted is what is there. */
  async #checkBytes(): Promise<void> {
    let [counted, there] = [0, 0];
    try {
      await until('what is counted is what is there', settleMs, async () => {
        const { cache, hosted } = await this.#entrepot.socket.status();
        counted = cache.bytes + hosted.bytes;
        there = bytesInUse(this.#entrepot.dataPath);
        return counted === there;
      });
    } catch {
      this.#found(`${counted} bytes are counted, ${there} are there`);
    }
    const cached = bytesInUse(this.#entrepot.dataPath, this.isCounted);
    if (cached > cap) this.#found(`${cached} bytes are above the cap of ${cap}`);
  }
}

function isResumed(status: number | undefined, range: string | undefined): boolean {
  return status === 206 && /^bytes=[1-9]\d*-$/.test(range ?? '');
}

test(
  `kill -9 at ${kills} random moments of mixed load: nothing is wrong or half there, no byte is miscounted, no confirmed push is gone`,
  async () => {
    await using origin = await FakeRegistry.start();
    const random = new Random(seed);
    const sizes = { baseSizes: [2 * MB, 3 * MB, MB], ownSize: () => random.integer(MB, 4 * MB) };
    const images = await publishFleet(origin, { count: 24, ...sizes });
    origin.faults.add({ when: { kind: 'blob' }, do: { kind: 'slow', bytesPerSecond: upstreamBytesPerSecond } });
    await using entrepot = await Entrepot.start({
      upstream: origin,
      storage: { maxSize: '30MB' },
      access: everyonePushes,
    });

    const crashes = new Crashes(entrepot, origin, images);
    using watch = new UsageWatch(entrepot.dataPath, crashes.isCounted);
    let done = 0;
    try {
      for (; done < kills; done += 1) await crashes.once();
    } finally {
      console.log(
        `crash (seed ${seed}): ${done} of ${kills} kills; ${crashes.pulls} pulls, ${crashes.cutOff} cut off; ` +
          `${crashes.snapshots} listings; ${crashes.checkedBlobs} blobs hashed; ` +
          `${crashes.pushing.pushes} pushes and ${crashes.pushing.deletions} deletions confirmed, looked at ` +
          `${crashes.pushing.checked} times; ` +
          `${crashes.partialsResumed} partial files resumed; ` +
          `${crashes.recoveries.size} ledgers recovered; at most ${watch.highest} of ${cap} bytes in ` +
          `${watch.samples} samples; ${crashes.violations.length} violations`,
      );
    }
    expect(crashes.violations).toEqual([]);
    expect(watch.highest).toBeLessThanOrEqual(cap);
    // Or nothing was going on.
    expect(crashes.pulls).toBeGreaterThan(kills);
    expect(crashes.partialsResumed).toBeGreaterThan(0);
    expect(crashes.pushing.pushes).toBeGreaterThan(kills);
    await origin.kill();
    for (const { digest, complete } of await entrepot.images()) {
      if (complete && crashes.isCounted(digest))
        await pullEverything(entrepot.url, images.find(({ manifest }) => manifest === digest)!);
    }
  },
  120_000 + kills * 4_000,
);
