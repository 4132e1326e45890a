import type { Files } from '../tree.ts';

/** Where a client finds the mirror. */
export interface Mirror {
  readonly port: number;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/**
 * A real container client, configured the way its own documentation says. `image` is one of Docker Hub's, to be had
 * through the mirror, as in `library/app:1.0`; or it says itself where it is, as in `127.0.0.1:5000/test:1.0`.
 */
export interface Client extends AsyncDisposable {
  readonly name: string;
  /** With credentials an engine logs in first, and stays so; the others send them along. */
  pull(image: string, as?: Login): Promise<void>;
  /** Afterwards nothing of the image is left: the next pull has to fetch every layer. */
  remove(image: string): Promise<void>;
  /** Every file of the pulled image. */
  files(image: string): Promise<Files>;
  /** By which the client knows what it has pulled. */
  digest(image: string): Promise<string>;
  /** Takes in what lies in a folder in the form of skopeo's `dir:`, as an image of this name. */
  load(folder: string, image: string): Promise<void>;
  push(image: string, as?: Login): Promise<void>;
}

const here = '127.0.0.1:';

export function saysWhereItIs(image: string): boolean {
  return image.startsWith(here);
}

/** `docker.io/library/app:1.0`, or what says itself where it is. */
export function fullName(image: string): string {
  return saysWhereItIs(image) ? image : `docker.io/${image}`;
}

/** `127.0.0.1:5000` of an image that says where it is. */
export function registryOf(image: string): string {
  return image.slice(0, image.indexOf('/'));
}

/** Without its tag. */
export function repositoryOf(image: string): string {
  return image.slice(0, image.lastIndexOf(':'));
}

export function credentials(as: Login | undefined): string | undefined {
  return as && `${as.username}:${as.password}`;
}
