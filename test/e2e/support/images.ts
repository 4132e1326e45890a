import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { acceptAnyImage } from './policy.ts';
import { run } from './program.ts';
import { Scratch } from './scratch.ts';
import { copyUpTo } from './tree.ts';
import { publisher, type Upstream } from './upstream.ts';
import { type Blob, docker, type Image, oci, place, text, Workshop } from './workshop.ts';

const MiB = 1024 * 1024;

export interface Images {
  /** Docker's own format, one platform, the largest layer well over 20 MB. */
  readonly app: Image;
  /** An OCI index; the two platforms share their lowest layer only. */
  readonly multi: { readonly amd64: Image; readonly arm64: Image };
  /** In a repository that only accounts may read; its lowest layer is also in `app`, the other one nowhere else. */
  readonly secret: Image;
}

export function largestLayer(image: Image): Blob {
  return image.layers.reduce((largest, layer) => (layer.size > largest.size ? layer : largest));
}

/** Only in this image: the last layer holds what tells it apart. */
export function ownLayer(image: Image): Blob {
  return image.layers.at(-1)!;
}

/** Makes the images out of files of this machine and pushes them; what that asked of the upstream is forgotten. */
export async function publishImages(upstream: Upstream): Promise<Images> {
  await using scratch = await Scratch.create('images');
  const workshop = new Workshop(scratch);
  const base = await workshop.layer('base', baseFiles);
  const app = await workshop.image('library/app:1.0', 'amd64', docker, [
    base,
    await workshop.layer('libraries', libraryFiles),
    await workshop.layer('app', appFiles),
  ]);
  const [amd64, arm64] = [
    await workshop.image('library/multi:1.0', 'amd64', oci, [
      base,
      await workshop.layer('amd64', markedFiles('amd64')),
    ]),
    await workshop.image('library/multi:1.0', 'arm64', oci, [
      base,
      await workshop.layer('arm64', markedFiles('arm64')),
    ]),
  ];
  const secret = await workshop.image('team/secret:1.0', 'amd64', oci, [
    base,
    await workshop.layer('secret', markedFiles('secret')),
  ]);
  await push(upstream, scratch, app.name, await workshop.collect([app]));
  await push(upstream, scratch, amd64.name, await workshop.collect([amd64, arm64]));
  await push(upstream, scratch, secret.name, await workshop.collect([secret]));
  upstream.forget();
  return { app, multi: { amd64, arm64 }, secret };
}

async function baseFiles(root: string): Promise<void> {
  await place('/bin/busybox', join(root, 'bin/busybox'));
  await symlink('busybox', join(root, 'bin/sh'));
  await place('/etc/os-release', join(root, 'etc/os-release'));
  await text(root, 'etc/motd', 'the lowest layer\n');
  await text(root, 'var/tmp/left-over', 'removed by a later layer\n');
  await copyUpTo('/usr/share/doc', join(root, 'usr/share/doc'), 3 * MiB);
}

async function libraryFiles(root: string): Promise<void> {
  await copyUpTo('/usr/lib', join(root, 'usr/lib'), 12 * MiB);
  await place('/usr/sbin/dockerd', join(root, 'usr/sbin/dockerd'));
}

async function appFiles(root: string): Promise<void> {
  await text(root, 'etc/motd', 'replaced by the highest layer\n');
  await text(root, 'var/tmp/.wh.left-over', '');
  await text(root, 'srv/app/release', '1.0\n');
  await place('/usr/bin/docker-registry', join(root, 'srv/app/registry'));
}

function markedFiles(mark: string): (root: string) => Promise<void> {
  return async (root) => {
    await text(root, 'etc/mark', `${mark}\n`);
    await copyUpTo('/usr/share/doc', join(root, 'srv', mark), MiB);
  };
}

async function push(upstream: Upstream, scratch: Scratch, name: string, folder: string): Promise<void> {
  const policy = ['--policy', await acceptAnyImage(scratch)];
  const credentials = ['--dest-creds', `${publisher.username}:${publisher.password}`, '--dest-tls-verify=false'];
  const target = `docker://127.0.0.1:${upstream.port}/${name}`;
  await run({
    program: 'skopeo',
    args: [...policy, 'copy', '--quiet', '--all', '--preserve-digests', ...credentials, `dir:${folder}`, target],
    cwd: scratch.path,
  });
}
