import type { UpstreamFailure } from './failure.ts';

/** What became of a flight. */
export type FlightEnd =
  | { readonly kind: 'stored' }
  | { readonly kind: 'not-started' }
  /** There was room at the start, and is none any more. Its readers go on without it. */
  | { readonly kind: 'no-room' }
  | { readonly kind: 'broken'; readonly failure: UpstreamFailure; readonly cause?: unknown };
