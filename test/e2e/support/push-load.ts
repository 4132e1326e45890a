import { generatedContent } from '../../support/fake-registry/content.ts';
import { ask, Download } from './http.ts';
import { type PushedImage, Pusher, smallPush } from './pusher.ts';
import type { Random } from './random.ts';

const layerBytes = { smallest: 200, largest: 40_000 };
const sharedBytes = 20_000;
/** So that looking at all of it takes no time worth mentioning. */
const maxKept = 12;
const maxPerRound = 8;
const checkedAtOnce = 8;

/** One who pushes images and deletes older ones, and remembers what was confirmed to him. */
export class PushLoad {
  pushes = 0;
  deletions = 0;
  checked = 0;
  /** Everything that may have been stored by a push. */
  readonly digests = new Set<string>();
  readonly #at: (path: string) => string;
  readonly #random: Random;
  readonly #shared: Buffer;
  /** By tag, in the order of their confirmation. */
  readonly #there = new Map<string, PushedImage>();
  readonly #gone = new Map<string, PushedImage>();
  #next = 1;

  /** @param at the URL of what lies below the repository */
  constructor(at: (path: string) => string, random: Random) {
    this.#at = at;
    this.#random = random;
    this.#shared = generatedContent(sharedBytes, 'shared by all pushes').read(0, sharedBytes);
  }

  /** Until it is ended, or something fails; that is the caller's to judge. */
  async run(hasEnded: () => boolean): Promise<void> {
    using pusher = new Pusher(this.#at);
    for (let done = 0; done < maxPerRound && !hasEnded(); done += 1) {
      const [oldest] = this.#there;
      if (oldest !== undefined && this.#there.size >= maxKept) await this.#remove(...oldest);
      await this.#push(pusher);
    }
  }

  async #push(pusher: Pusher): Promise<void> {
    const tag = `t${this.#next}`;
    this.#next += 1;
    const size = this.#random.integer(layerBytes.smallest, layerBytes.largest);
    const image = smallPush(tag, [this.#shared, generatedContent(size, `pushed ${tag}`).read(0, size)]);
    for (const { digest } of [...image.layers, image.config, image.manifest]) this.digests.add(digest);
    await pusher.newParts(image, tag);
    this.#there.set(tag, image);
    this.pushes += 1;
  }

  /** By its tag, or with its manifest. What is not confirmed may be there or not. */
  async #remove(tag: string, image: PushedImage): Promise<void> {
    this.#there.delete(tag);
    const isWhole = this.#random.next() < 0.5;
    const { status, text } = await ask(this.#at(`manifests/${isWhole ? image.manifest.digest : tag}`), 'DELETE');
    if (status !== 202) throw new Error(`the deletion of ${tag} was answered with ${status}, ${text}`);
    this.deletions += 1;
    this.#gone.set(tag, image);
    const [oldest] = this.#gone.keys();
    if (this.#gone.size > maxKept && oldest !== undefined) this.#gone.delete(oldest);
  }

  /** What was confirmed and is not so, in words. */
  async violations(): Promise<readonly string[]> {
    const found: string[] = [];
    const looks = [
      ...[...this.#there].map(
        ([tag, image]) =>
          () =>
            this.#lookAt(tag, image),
      ),
      ...[...this.#gone.keys()].map((tag) => () => this.#lookForGone(tag)),
    ];
    const next = looks.values();
    await Promise.all(
      Array.from({ length: checkedAtOnce }, async () => {
        for (const look of next) found.push(...(await look()));
      }),
    );
    this.checked += looks.length;
    return found;
  }

  async #lookAt(tag: string, { manifest, layers, config }: PushedImage): Promise<readonly string[]> {
    const found: string[] = [];
    for (const reference of [tag, manifest.digest]) {
      const { status, text } = await ask(this.#at(`manifests/${reference}`));
      const isIt = status === 200 && text === manifest.bytes.toString();
      if (!isIt) found.push(`the confirmed push of ${tag}: ${reference} is answered with ${status}, ${text}`);
    }
    for (const { digest } of [...layers, config]) {
      const got = await new Download(this.#at(`blobs/${digest}`)).digest.catch(String);
      if (got !== digest) found.push(`the confirmed push of ${tag}: its blob ${digest} is ${got}`);
    }
    return found;
  }

  async #lookForGone(tag: string): Promise<readonly string[]> {
    const { status } = await ask(this.#at(`manifests/${tag}`));
    return status === 404 ? [] : [`${tag} was deleted, and is answered with ${status}`];
  }
}
