import type { Files } from '../tree.ts';

/** Where a client finds the mirror. */
export interface Mirror {
  readonly port: number;
}

/** A real container client, configured the way its own documentation says. `image` is as in `library/app:1.0`. */
export interface Client extends AsyncDisposable {
  readonly name: string;
  pull(image: string): Promise<void>;
  /** Afterwards nothing of the image is left: the next pull has to fetch every layer. */
  remove(image: string): Promise<void>;
  /** Every file of the pulled image. */
  files(image: string): Promise<Files>;
}
