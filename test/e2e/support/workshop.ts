import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { run } from './program.ts';
import type { Scratch } from './scratch.ts';
import { type Files, filesBelow, overlay, sha256OfFile } from './tree.ts';

interface MediaTypes {
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

/** Docker's own format. */
export const docker: MediaTypes = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};
export const oci: MediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};
const ociIndex = 'application/vnd.oci.image.index.v1+json';

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

export interface Layer extends Blob {
  /** The compressed tar. */
  readonly path: string;
  readonly diffId: string;
  readonly files: Files;
}

/** One platform's image as it lies in the upstream. */
export interface Image {
  readonly name: string;
  readonly architecture: string;
  readonly manifest: Blob & { readonly mediaType: string };
  readonly config: Blob;
  readonly layers: readonly Blob[];
  /** What every file of it must be after a pull. */
  readonly files: Files;
}

/** Builds layers and manifests below a scratch directory. */
export class Workshop {
  readonly #scratch: Scratch;
  readonly #blobs = new Map<string, string>();

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
  }

  async layer(name: string, fill: (root: string) => Promise<void>): Promise<Layer> {
    const root = await this.#scratch.folder('stage', name);
    await fill(root);
    const tar = this.#scratch.file(`${name}.tar`);
    const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
    await run({ program: 'tar', args: ['--create', ...reproducible, '--directory', root, '--file', tar, '.'] });
    const compressed = `${tar}.gz`;
    await pipeline(createReadStream(tar), createGzip({ level: 1 }), createWriteStream(compressed));
    const [blob, diffId, files] = [await this.#keep(compressed), await sha256OfFile(tar), await filesBelow(root)];
    return { ...blob, diffId: `sha256:${diffId}`, files };
  }

  async image(name: string, architecture: string, types: MediaTypes, layers: readonly Layer[]): Promise<Image> {
    const config = await this.#keepJson({
      architecture,
      os: 'linux',
      created: '2024-01-01T00:00:00Z',
      config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin:/usr/bin'] },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'end-to-end test' })),
    });
    const manifest = await this.#keepJson({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, ...blobOf(config) },
      layers: layers.map((layer) => ({ mediaType: types.layer, ...blobOf(layer) })),
    });
    return {
      name,
      architecture,
      manifest: { ...blobOf(manifest), mediaType: types.manifest },
      config: blobOf(config),
      layers: layers.map(blobOf),
      files: layers.map((layer) => layer.files).reduce(overlay),
    };
  }

  /** A folder in the form of skopeo's `dir:`; several images become one index. */
  async collect(images: readonly Image[]): Promise<string> {
    const folder = await this.#scratch.folder('push', images[0]!.manifest.digest.slice(-12));
    await writeFile(join(folder, 'version'), 'Directory Transport Version: 1.1\n');
    for (const { manifest, config, layers } of images) {
      await copyFile(
        this.#path(manifest),
        join(folder, images.length > 1 ? `${hex(manifest)}.manifest.json` : 'manifest.json'),
      );
      for (const blob of [config, ...layers]) await copyFile(this.#path(blob), join(folder, hex(blob)));
    }
    if (images.length > 1) await writeFile(join(folder, 'manifest.json'), indexOf(images));
    return folder;
  }

  async #keepJson(value: object): Promise<Blob & { path: string }> {
    const path = this.#scratch.file('next.json');
    await writeFile(path, JSON.stringify(value));
    return this.#keep(path);
  }

  async #keep(path: string): Promise<Blob & { path: string }> {
    const digest = `sha256:${await sha256OfFile(path)}`;
    const kept = join(await this.#scratch.folder('blobs'), digest);
    await rename(path, kept);
    this.#blobs.set(digest, kept);
    return { digest, size: (await stat(kept)).size, path: kept };
  }

  #path(blob: Blob): string {
    return this.#blobs.get(blob.digest)!;
  }
}

function indexOf(images: readonly Image[]): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: images.map(({ manifest, architecture }) => ({ ...manifest, platform: { architecture, os: 'linux' } })),
  });
}

function blobOf({ digest, size }: Blob): Blob {
  return { digest, size };
}

function hex(blob: Blob): string {
  return blob.digest.slice('sha256:'.length);
}

/** A copy of a file of this machine. */
export async function place(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await copyFile(source, target);
}

export async function text(root: string, path: string, content: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
}
