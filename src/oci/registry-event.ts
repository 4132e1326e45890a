import type { Digest } from './digest.ts';
import type { Tag } from './reference.ts';

/** What can happen to content; the words are those of distribution's notifications. */
export type RegistryAction = 'push' | 'pull' | 'delete';

/** What has happened to a manifest, a blob or a tag, and on whose request. */
export interface RegistryEvent {
  readonly action: RegistryAction;
  /** As clients name it. */
  readonly repository: string;
  /** Undefined where only a tag was deleted: its content stays. */
  readonly digest?: Digest | undefined;
  readonly mediaType?: string | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
  readonly tag?: Tag | undefined;
  /** Where the content can be pulled. */
  readonly url?: string | undefined;
  readonly request: {
    /** Names the request among all others. */
    readonly id: string;
    /** Of the client: `address` or `address:port`. */
    readonly address: string;
    /** The registry as the client calls it: the Host header. */
    readonly host: string;
    readonly method: string;
    readonly userAgent: string;
  };
  /** Undefined for an anonymous client. */
  readonly actor?: string | undefined;
}
