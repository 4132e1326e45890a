import type { AddedImage, FakeRegistry } from '../../support/fake-registry.ts';
import { ask, Download } from './http.ts';

/** An image that lies in a fake registry, made of layers without an end to them: they take no memory. */
export interface FleetImage {
  /** As in `library/image-07:1.0`. */
  readonly name: string;
  readonly repository: string;
  readonly tag: string;
  readonly manifest: string;
  readonly config: string;
  /** Shared with other images. */
  readonly base: string;
  readonly own: string;
  readonly bytes: number;
}

export interface FleetOptions {
  readonly count: number;
  /** Image number n stands on base number n modulo their number. */
  readonly baseSizes: readonly number[];
  readonly ownSize: (index: number) => number;
  /** Two fleets with different names have nothing in common. */
  readonly name?: string;
}

const tag = '1.0';

/** Many images of random bytes, the same ones each time. */
export async function publishFleet(origin: FakeRegistry, options: FleetOptions): Promise<readonly FleetImage[]> {
  const { count, baseSizes, ownSize, name = 'image' } = options;
  const bases = [];
  for (const [index, size] of baseSizes.entries()) {
    bases.push(await origin.addGeneratedBlob(`library/${name}-bases`, size, `${name} base ${index}`));
  }
  const images: FleetImage[] = [];
  for (let index = 0; index < count; index += 1) {
    const repository = `library/${name}-${String(index).padStart(2, '0')}`;
    const base = bases[index % bases.length]!;
    origin.linkBlob(repository, base.digest);
    const own = await origin.addGeneratedBlob(repository, ownSize(index), `${name} ${index}`);
    const added = origin.addImage(repository, tag, { layers: [base, own] });
    images.push({ ...namesOf(repository, added), bytes: bytesOf(added) });
  }
  return images;
}

/** Everything of the image, as an engine without any of it would ask; rejects when something does not come right. */
export async function pullEverything(mirrorUrl: string, image: FleetImage): Promise<void> {
  const below = `${mirrorUrl}/v2/${image.repository}`;
  const manifest = await ask(`${below}/manifests/${image.tag}`);
  const digest = manifest.headers.get('docker-content-digest');
  if (manifest.status !== 200 || digest !== image.manifest) {
    throw new Error(`${image.name}: status ${manifest.status}, ${digest ?? 'no digest'}, ${manifest.text}`);
  }
  const blobs = [image.config, image.base, image.own];
  const got = await Promise.all(blobs.map((blob) => new Download(`${below}/blobs/${blob}`).digest));
  const wrong = blobs.filter((blob, index) => blob !== got[index]);
  if (wrong.length > 0) throw new WrongBytes(`${image.name}: complete, but wrong: ${wrong.join(', ')}`);
}

/** A body that came to its end and is not what its digest says. */
export class WrongBytes extends Error {
  override readonly name = 'WrongBytes';
}

function namesOf(repository: string, { manifest, config, layers }: AddedImage): Omit<FleetImage, 'bytes'> {
  return {
    name: `${repository}:${tag}`,
    repository,
    tag,
    manifest: manifest.digest,
    config: config.digest,
    base: layers[0]!.digest,
    own: layers[1]!.digest,
  };
}

function bytesOf({ bytes, config, layers }: AddedImage): number {
  return layers.reduce((sum, { size }) => sum + size, bytes.length + config.size);
}
