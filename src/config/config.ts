import type { Rule } from '../access/rules.ts';
import type { AddressRange } from '../oci/address-range.ts';
import type { ImagePattern } from '../oci/image-pattern.ts';
import type { RepositoryPattern, TagName, TagPattern } from '../oci/repository-pattern.ts';
import { defaultTagTtlMs } from './schema.ts';

/** The effective configuration: everything parsed, resolved and read. What each setting means is told in schema.ts. */
export interface Config {
  readonly listen: {
    readonly host: string;
    /** 0 is any free port. */
    readonly port: number;
    /** Absolute paths, as is clientCa: who listens reads them, again and again. */
    readonly tls?: { readonly cert: string; readonly key: string } | undefined;
    readonly clientCa?: string | undefined;
    readonly trustedProxies: readonly AddressRange[];
    /** `scheme://host[:port]` */
    readonly publicUrl?: string | undefined;
  };
  readonly storage: {
    /** Absolute. */
    readonly path: string;
    /** In bytes. */
    readonly maxSize: number;
    /** In bytes; by default a part of the disk. */
    readonly minFree?: number | undefined;
    /** In milliseconds, like the two after it; undefined for no such limit. */
    readonly maxAge?: number | undefined;
    readonly gcEvery: number;
    readonly gcGrace: number;
    readonly pins: readonly ImagePattern[];
    /** In bytes per second; undefined for never. */
    readonly scrubRate?: number | undefined;
  };
  /** Keyed by the registry's name in image references. */
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>;
  /** A key of `upstreams`, or null for none. */
  readonly defaultUpstream: string | null;
  readonly private: {
    readonly namespaces: readonly RepositoryPattern[];
    readonly policies: readonly PrivatePolicy[];
  };
  readonly access: {
    /** Absolute; undefined for the one in the data directory. */
    readonly htpasswd?: string | undefined;
    readonly anonymous: { readonly pull: boolean; readonly push: boolean };
    readonly rules: readonly Rule[];
  };
  readonly notifications: readonly NotificationConfig[];
  readonly log: {
    readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'pretty' | 'json';
  };
  /** In milliseconds. */
  readonly shutdownGrace: number;
}

/** Of hosted repositories; the first that matches decides. */
interface PrivatePolicy {
  readonly repositories: readonly RepositoryPattern[];
  readonly immutableTags: readonly TagName[];
  readonly retention?: { readonly keepLast: number; readonly keep: readonly TagName[] } | undefined;
}

export interface UpstreamConfig {
  /** At least one, in the order to try: `scheme://host[:port][/prefix]`, without a slash at the end. */
  readonly endpoints: readonly string[];
  readonly credentials?: Credentials;
  /** The first that matches decides: see {@link tagTtlMs}. */
  readonly tagTtl: readonly TagTtlRule[];
  readonly privateRepositories: 'users' | 'anyone';
  /** Whether the registry's own search may be asked. */
  readonly search: boolean;
  /** Certificates to trust instead of the public ones, as PEM text. */
  readonly ca?: string;
  readonly insecure: boolean;
}

export interface NotificationConfig {
  /** http or https, with what credentials it has. */
  readonly url: string;
  /** At least one. */
  readonly events: readonly ('push' | 'pull' | 'delete')[];
  /** Values may be secret. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export interface TagTtlRule {
  readonly match: TagPattern;
  readonly ttlMs: number;
}

/** How long a tag of the repository is answered without asking the registry whether it moved. */
export function tagTtlMs(rules: readonly TagTtlRule[], repository: string, tag: string): number {
  return rules.find(({ match }) => match.matches(repository, tag))?.ttlMs ?? defaultTagTtlMs;
}
