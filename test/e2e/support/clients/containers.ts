import { writeFile } from 'node:fs/promises';
import { acceptAnyImage } from '../policy.ts';
import type { Scratch } from '../scratch.ts';
import type { Mirror } from './client.ts';

/** What podman and buildah share: their configuration files and a storage of their own. */
export interface Containers {
  readonly env: Readonly<Record<string, string>>;
  readonly root: string;
  readonly runRoot: string;
  readonly registries: string;
  /** For what asks a registry. */
  readonly policy: readonly string[];
}

/** Turned to the mirror by registries.conf; the registry's name becomes the first part of the path. */
export async function configureContainers(scratch: Scratch, mirror: Mirror): Promise<Containers> {
  const [registries, containers] = [scratch.file('registries.conf'), scratch.file('containers.conf')];
  await writeFile(registries, registriesConf(mirror));
  // Locks in files: those in shared memory would be the machine's own.
  await writeFile(containers, '[engine]\nlock_type = "file"\nevents_logger = "none"\ncgroup_manager = "cgroupfs"\n');
  const env = {
    CONTAINERS_REGISTRIES_CONF: registries,
    CONTAINERS_CONF: containers,
    CONTAINERS_STORAGE_CONF: scratch.file('storage.conf'),
    XDG_RUNTIME_DIR: scratch.path,
    TMPDIR: scratch.path,
  };
  const [root, runRoot] = [scratch.file('root'), scratch.file('run')];
  await writeFile(
    env.CONTAINERS_STORAGE_CONF,
    ['[storage]', 'driver = "overlay"', `graphroot = "${root}"`, `runroot = "${runRoot}"`].join('\n'),
  );
  return { env, root, runRoot, registries, policy: ['--signature-policy', await acceptAnyImage(scratch)] };
}

function registriesConf(mirror: Mirror): string {
  return [
    '[[registry]]',
    'prefix = "docker.io"',
    'location = "docker.io"',
    '[[registry.mirror]]',
    `location = "127.0.0.1:${mirror.port}/docker.io"`,
    'insecure = true',
  ].join('\n');
}

/** For a registry that speaks plain HTTP, and with the credentials if there are any. */
export function towards(credentials: string | undefined): readonly string[] {
  return ['--tls-verify=false', ...(credentials === undefined ? [] : ['--creds', credentials])];
}
