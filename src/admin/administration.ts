import type { Pins } from '../mirror/pins.ts';
import type { BlobRecord, Content, ImageName, Ledger } from '../mirror/ports.ts';
import type { Refetch } from '../mirror/refetch.ts';
import type { Digest } from '../oci/digest.ts';
import { isHosted, repositoryText } from '../oci/repository-name.ts';
import type { Result } from '../oci/result.ts';
import {
  type Collected,
  type Damage,
  type ImageListing,
  type Job,
  type Operations,
  type Pin,
  Refused,
  type Status,
  type Verified,
} from './operations.ts';

interface Found {
  readonly record: BlobRecord;
  readonly reason: Damage['reason'];
}

interface Deps {
  readonly ledger: Ledger;
  readonly pins: Pins;
  readonly refetch: Refetch;
  /** What nobody but the running service knows. */
  readonly facts: () => Promise<
    Pick<Status, 'version' | 'url' | 'startedAt' | 'disk' | 'fillsInFlight' | 'reconciled' | 'recovery'> & {
      readonly cache: Pick<Status['cache'], 'bytes' | 'limit'>;
    }
  >;
  readonly findDamage: (options: {
    readonly bytesPerSecond?: number;
    readonly onHashed: (bytes: number) => void;
    readonly signal: AbortSignal;
  }) => AsyncIterable<Found>;
  readonly setAside: (record: Found['record']) => Promise<void>;
  /** What was set aside and is still there; the daemon may have stored it again. */
  readonly quarantined: () => Promise<readonly Content[]>;
  /** What repositories of this server hold and is not there. */
  readonly lostHosted: () => Promise<readonly Digest[]>;
  readonly findGarbage: (options: {
    readonly dryRun: boolean;
    readonly onLooked: (blobs: number) => void;
    readonly signal: AbortSignal;
  }) => AsyncIterable<Collected['removed'][number]>;
  readonly onDamage: (damage: Damage) => void;
  /** The pins are others than before. */
  readonly onPinned: () => Promise<void>;
}

const namesAtOnce = 200;
/** Of the images that a damaged blob is part of, how many are named. */
const maxImagesNamed = 20;

/** What an operator can do, by the parts that do it. */
export class Administration implements Operations {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async status(): Promise<Status> {
    const { ledger, pins, facts } = this.#deps;
    const { cache, ...rest } = await facts();
    const { blobs, hostedBlobs, hostedBytes } = await ledger.totals();
    return {
      ...rest,
      cache: { ...cache, blobs: blobs - hostedBlobs, pinnedBytes: await pins.bytes() },
      hosted: { bytes: hostedBytes, blobs: hostedBlobs },
    };
  }

  async *images(): AsyncIterable<ImageListing> {
    const { ledger } = this.#deps;
    let after: ImageName | undefined;
    for (;;) {
      const page = await ledger.imageNames({ limit: namesAtOnce, ...(after === undefined ? {} : { after }) });
      for (const name of page) {
        const listing = await this.#listing(name);
        if (listing !== undefined) yield listing;
      }
      after = page.at(-1);
      if (after === undefined) return;
    }
  }

  async #listing(name: ImageName): Promise<ImageListing | undefined> {
    const image = await this.#deps.ledger.image(name.digest);
    return (
      image && {
        repository: repositoryText(name.repository),
        hosted: isHosted(name.repository),
        tag: name.tag ?? null,
        digest: image.digest,
        mediaType: image.mediaType,
        bytes: image.bytes,
        complete: image.isComplete,
        platforms: image.completePlatforms,
        usedAt: new Date(image.usedAt).toISOString(),
        pinned: this.#deps.pins.holdsImage(name),
      }
    );
  }

  pins(): Promise<readonly Pin[]> {
    const { configured, added } = this.#deps.pins.list();
    return Promise.resolve([
      ...configured.map((pattern): Pin => ({ pattern, from: 'configuration' })),
      ...added.map((pattern): Pin => ({ pattern, from: 'command' })),
    ]);
  }

  async pin(pattern: string): Promise<readonly Pin[]> {
    return this.#pinned(await this.#deps.pins.add(pattern));
  }

  async unpin(pattern: string): Promise<readonly Pin[]> {
    return this.#pinned(await this.#deps.pins.remove(pattern));
  }

  async #pinned(done: Result<void, { readonly reason: string }>): Promise<readonly Pin[]> {
    if (!done.ok) throw new Refused(done.failure.reason);
    await this.#deps.onPinned();
    return this.pins();
  }

  async collectGarbage({ dryRun }: { readonly dryRun: boolean }, job: Job): Promise<Collected> {
    const { blobs: total } = await this.#deps.ledger.totals();
    let done = 0;
    const onLooked = (blobs: number) => {
      done += blobs;
      job.onProgress({ done, total: Math.max(done, total), unit: 'blobs' });
    };
    const removed: Collected['removed'][number][] = [];
    for await (const garbage of this.#deps.findGarbage({ dryRun, onLooked, signal: job.signal })) removed.push(garbage);
    return { dryRun, removed, bytes: removed.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  async verify({ repair }: { readonly repair: boolean }, job: Job): Promise<Verified> {
    const { bytes: total } = await this.#deps.ledger.totals();
    let done = 0;
    const onHashed = (bytes: number) => {
      done += bytes;
      job.onProgress({ done, total: Math.max(done, total), unit: 'bytes' });
    };
    return this.#verify({ repair, onHashed, signal: job.signal });
  }

  /** The same in the background, at so many bytes per second. What is damaged is fetched again when somebody wants it. */
  scrub(bytesPerSecond: number, signal: AbortSignal): Promise<Verified> {
    return this.#verify({ repair: false, bytesPerSecond, onHashed: () => undefined, signal });
  }

  async #verify({
    repair,
    onHashed,
    ...options
  }: {
    readonly repair: boolean;
    readonly bytesPerSecond?: number;
    readonly onHashed: (bytes: number) => void;
    readonly signal: AbortSignal;
  }): Promise<Verified> {
    const { blobs } = await this.#deps.ledger.totals();
    const damaged: Damage[] = [];
    let bytes = 0;
    const count = (hashed: number) => {
      bytes += hashed;
      onHashed(hashed);
    };
    for await (const found of this.#deps.findDamage({ ...options, onHashed: count })) {
      damaged.push(await this.#handle(found, repair));
    }
    if (options.signal.aborted) return { blobs, bytes, damaged };
    damaged.push(...(await this.#lookAtQuarantine(damaged, repair)));
    damaged.push(...(await this.#lookAtLost(damaged)));
    return { blobs, bytes, damaged };
  }

  /** What an earlier look set aside is damage for as long as it is not stored again, and not evicted. */
  async #lookAtQuarantine(found: readonly Damage[], repair: boolean): Promise<readonly Damage[]> {
    const { ledger, refetch, quarantined, onDamage } = this.#deps;
    const damaged: Damage[] = [];
    for (const { digest, size } of await quarantined()) {
      const isNew = found.some((damage) => damage.digest === digest);
      if (isNew || (await ledger.blob(digest)) !== undefined) continue;
      const names = await ledger.namesOf(digest);
      if (names.length === 0) continue;
      const above = (await ledger.namesAbove(digest, maxImagesNamed)).map(imageText);
      const own = names.flatMap(({ repository, tags }) => tags.map((tag) => imageText({ repository, tag, digest })));
      const repaired = repair && ((await refetch.fetch(digest, 'manifest')) || (await refetch.fetch(digest, 'blob')));
      const images = above.length > 0 ? above : own;
      const hosted = names.some(({ repository }) => isHosted(repository));
      const damage: Damage = { digest, bytes: size, reason: 'set-aside', images, repaired, hosted };
      if (repaired) onDamage(damage);
      damaged.push(damage);
    }
    return damaged;
  }

  /** What a repository of this server holds, and nobody knows where: it was found missing before. */
  async #lookAtLost(found: readonly Damage[]): Promise<readonly Damage[]> {
    const { ledger, lostHosted } = this.#deps;
    const damaged: Damage[] = [];
    for (const digest of await lostHosted()) {
      if (found.some((damage) => damage.digest === digest)) continue;
      const above = (await ledger.namesAbove(digest, maxImagesNamed)).map(imageText);
      const own = (await ledger.namesOf(digest)).map(({ repository }) =>
        imageText({ repository, tag: undefined, digest }),
      );
      const images = above.length > 0 ? above : own;
      damaged.push({ digest, bytes: 0, reason: 'missing', images, repaired: false, hosted: true });
    }
    return damaged;
  }

  /** Sets aside what is damaged; with `repair`, fetches it again. */
  async #handle({ record, reason }: Found, repair: boolean): Promise<Damage> {
    const { ledger, refetch, setAside, onDamage } = this.#deps;
    const { digest, size } = record;
    const kind = (await ledger.manifest(digest)) === undefined ? 'blob' : 'manifest';
    const images = (await ledger.namesAbove(digest, maxImagesNamed)).map(imageText);
    await setAside(record);
    const repaired = repair && (await refetch.fetch(digest, kind));
    const damage: Damage = { digest, bytes: size, reason, images, repaired, hosted: record.isHosted };
    onDamage(damage);
    return damage;
  }
}

function imageText({ repository, tag, digest }: Omit<ImageName, 'checkedAt'>): string {
  return `${repositoryText(repository)}${tag === undefined ? `@${digest}` : `:${tag}`}`;
}
