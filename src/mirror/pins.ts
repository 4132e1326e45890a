import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import { type ImagePattern, parseImagePattern } from '../oci/image-pattern.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Clock, ImageName, Ledger, Name, Unreferenced } from './ports.ts';

export interface ConfiguredPins {
  readonly patterns: readonly ImagePattern[];
  /** Of patterns without a registry. */
  readonly defaultRegistry: string | undefined;
}

interface Deps {
  readonly ledger: Ledger;
  readonly clock: Clock;
}

const namesAtOnce = 200;
/** How many pinned images are added up at once; between two such pieces other work gets its turn. */
const summedAtOnce = 50;
/** A sum over the pinned images is believed for so many times as long as it took. */
const believedTimes = 20;

/** Which images are never evicted: those of the configuration, and those pinned while running. */
export class Pins {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  #configured: ConfiguredPins;
  #added: readonly ImagePattern[] = [];
  #bytes: Promise<number> | undefined;

  private constructor({ ledger, clock }: Deps, configured: ConfiguredPins) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#configured = configured;
  }

  static async load(deps: Deps, configured: ConfiguredPins): Promise<Pins> {
    const pins = new Pins(deps, configured);
    await pins.#reload();
    return pins;
  }

  async #reload(): Promise<void> {
    const parsed = (await this.#ledger.pins()).map(parseImagePattern);
    this.#added = parsed.flatMap((pattern) => (pattern.ok ? [pattern.value] : []));
    this.#bytes = undefined;
  }

  /** For a new configuration. */
  configure(configured: ConfiguredPins): void {
    this.#configured = configured;
    this.#bytes = undefined;
  }

  list(): { readonly configured: readonly string[]; readonly added: readonly string[] } {
    return {
      configured: this.#configured.patterns.map(({ text }) => text),
      added: this.#added.map(({ text }) => text),
    };
  }

  async add(text: string): Promise<Result<void, { readonly reason: string }>> {
    const pattern = parseImagePattern(text);
    if (!pattern.ok) return pattern;
    await this.#ledger.addPin(text, this.#clock.now());
    await this.#reload();
    return ok(undefined);
  }

  async remove(text: string): Promise<Result<void, { readonly reason: string }>> {
    const wasThere = await this.#ledger.removePin(text);
    await this.#reload();
    if (wasThere) return ok(undefined);
    const isConfigured = this.list().configured.includes(text);
    return fail({ reason: isConfigured ? `${text} is pinned in the configuration` : `${text} is not pinned` });
  }

  /** Layers go with their images, and stay with them. */
  holds({ isManifest, names }: Pick<Unreferenced, 'isManifest' | 'names'>): boolean {
    return isManifest && names.some((name) => this.#holdsName(name));
  }

  holdsImage({ repository, tag }: Pick<ImageName, 'repository' | 'tag'>): boolean {
    return this.#holdsName({ repository, tags: tag === undefined ? [] : [tag] });
  }

  #holdsName({ repository, tags }: Name): boolean {
    const { patterns, defaultRegistry } = this.#configured;
    const all = [...patterns, ...this.#added];
    const known = tags.length === 0 ? [undefined] : tags;
    return all.some((pattern) => known.some((tag) => pattern.matches(repository, tag, defaultRegistry)));
  }

  /** What all pinned images that are stored take. */
  bytes(): Promise<number> {
    this.#bytes ??= this.#measure();
    return this.#bytes;
  }

  async #measure(): Promise<number> {
    const start = performance.now();
    try {
      return await this.#sum();
    } finally {
      const tookMs = performance.now() - start;
      setTimeout(() => (this.#bytes = undefined), tookMs * believedTimes).unref();
    }
  }

  async #sum(): Promise<number> {
    if (this.#configured.patterns.length + this.#added.length === 0) return 0;
    const pinned = new Set<Digest>();
    let after: ImageName | undefined;
    for (;;) {
      const page = await this.#ledger.imageNames({ limit: namesAtOnce, ...(after === undefined ? {} : { after }) });
      for (const name of page) if (this.holdsImage(name)) pinned.add(name.digest);
      after = page.at(-1);
      if (after === undefined) break;
      await setImmediate();
    }
    const content = new Map<Digest, number>();
    const digests = [...pinned];
    for (let start = 0; start < digests.length; start += summedAtOnce) {
      const some = await this.#ledger.contentOf(digests.slice(start, start + summedAtOnce));
      for (const { digest, size } of some) content.set(digest, size);
      await setImmediate();
    }
    let sum = 0;
    for (const size of content.values()) sum += size;
    return sum;
  }
}
