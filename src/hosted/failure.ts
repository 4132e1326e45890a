import type { Digest } from '../oci/digest.ts';

/** What can keep a push from being taken. What can keep a hosted pull from being served is the pull path's own. */
export type PushFailure =
  | { readonly kind: 'upload-unknown'; readonly reason: string }
  /** The chunk is not the next one. The upload stays where it stands. */
  | { readonly kind: 'chunk-out-of-order'; readonly id: string; readonly size: number }
  | { readonly kind: 'chunk-invalid'; readonly reason: string }
  | { readonly kind: 'digest-invalid'; readonly reason: string }
  | { readonly kind: 'manifest-invalid'; readonly reason: string }
  | { readonly kind: 'manifest-too-large'; readonly reason: string }
  | { readonly kind: 'manifest-blob-unknown'; readonly missing: readonly Digest[] }
  | { readonly kind: 'manifest-unknown'; readonly reason: string }
  | { readonly kind: 'blob-unknown'; readonly reason: string }
  | { readonly kind: 'tag-immutable'; readonly reason: string }
  /** Neither cap nor eviction helps: the disk itself is full. */
  | { readonly kind: 'push-no-room'; readonly reason: string };
