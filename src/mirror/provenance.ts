import type { UpstreamFailure } from './failure.ts';

/** Where an answer came from: what `Cache-Status`, `Age` and `Warning` say of it. Times in milliseconds since 1970. */
export type Provenance =
  /** From the cache, without asking anybody. */
  | { readonly kind: 'hit'; readonly since: number }
  /** What this server hosts: there is nobody else to ask. */
  | { readonly kind: 'hosted' }
  /** From the upstream. `detail` says why it was not stored, where it was not. */
  | {
      readonly kind: 'miss';
      readonly stored: boolean;
      readonly collapsed: boolean;
      readonly detail?: 'no-room' | 'never-stored';
    }
  /** A tag past its time, which the upstream has just confirmed or moved. */
  | { readonly kind: 'revalidated'; readonly stored: boolean; readonly collapsed: boolean }
  /** From the cache past its time, because the upstream gave no verdict. */
  | { readonly kind: 'stale'; readonly since?: number; readonly because: UpstreamFailure };

export function missed(stored: boolean, collapsed: boolean): Provenance {
  return { kind: 'miss', stored: stored && !collapsed, collapsed, ...(stored ? {} : { detail: 'no-room' }) };
}
