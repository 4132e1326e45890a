import { afterAll, beforeAll } from 'vitest';
import { type Images, publishImages } from './images.ts';
import { meetRequirements } from './requirements.ts';
import { Cleanup } from './scratch.ts';
import { Upstream } from './upstream.ts';

/** What the tests of one file share: an upstream and the images in it. */
export interface Site {
  readonly upstream: Upstream;
  readonly images: Images;
}

/** To be called once at the top of a test file; open while its tests run. */
export function sharedSite(): Site {
  const cleanup = new Cleanup();
  let site: Site | undefined;
  const opened = (): Site => {
    if (site === undefined) throw new Error('the site is open only while tests run');
    return site;
  };
  beforeAll(async () => {
    await meetRequirements();
    const upstream = cleanup.use(await Upstream.start());
    site = { upstream, images: await publishImages(upstream) };
  });
  afterAll(() => cleanup[Symbol.asyncDispose]());
  return {
    get upstream() {
      return opened().upstream;
    },
    get images() {
      return opened().images;
    },
  };
}
