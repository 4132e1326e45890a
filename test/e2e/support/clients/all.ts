import { startBuildah } from './buildah.ts';
import type { Client, Mirror } from './client.ts';
import { startContainerd } from './containerd.ts';
import { startDockerd } from './dockerd.ts';
import { startPodman } from './podman.ts';
import { startSkopeo } from './skopeo.ts';

/** How each client is started; the name tells what reaches the mirror. */
export const clients: readonly { readonly client: string; readonly start: (mirror: Mirror) => Promise<Client> }[] = [
  { client: 'dockerd (registry-mirrors)', start: startDockerd },
  { client: 'containerd (?ns=)', start: startContainerd },
  { client: 'podman (path prefix)', start: startPodman },
  { client: 'skopeo (direct)', start: startSkopeo },
];

/** And those that push. */
export const pushers: readonly ((mirror: Mirror) => Promise<Client>)[] = [
  startDockerd,
  startContainerd,
  startPodman,
  startSkopeo,
  startBuildah,
];
