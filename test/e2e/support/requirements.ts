import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { entrepotProgram } from './entrepot.ts';
import { programPath } from './program.ts';

/** Every program the end-to-end tests start, and the Debian package it comes from. */
const requiredPrograms = {
  buildah: 'buildah',
  busybox: 'busybox-static',
  containerd: 'containerd',
  ctr: 'containerd',
  docker: 'docker.io',
  'docker-registry': 'docker-registry',
  dockerd: 'docker.io',
  mount: 'mount',
  openssl: 'openssl',
  podman: 'podman',
  setpriv: 'util-linux',
  skopeo: 'skopeo',
  tar: 'tar',
  umount: 'mount',
} as const;

/**
 * Fails the run, in one sentence, when this machine cannot carry it out. It never skips: a skipped end-to-end test
 * looks like a passed one.
 */
export async function meetRequirements(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error('The end-to-end tests need root, because container engines mount images.');
  }
  const missing: string[] = [];
  for (const [program, debianPackage] of Object.entries(requiredPrograms)) {
    if (!(await isInstalled(program))) missing.push(`${program} (package ${debianPackage})`);
  }
  if (missing.length > 0) {
    throw new Error(`The end-to-end tests need ${missing.join(', ')}: run .ci/install-clients.`);
  }
  if (!(await mayRead(entrepotProgram))) {
    throw new Error('The end-to-end tests need the built daemon in dist/: run npm run build.');
  }
}

async function isInstalled(program: string): Promise<boolean> {
  for (const folder of programPath.split(':')) {
    if (await mayRead(join(folder, program), constants.X_OK)) return true;
  }
  return false;
}

async function mayRead(path: string, mode = constants.R_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
