import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Provenance } from '../mirror/provenance.ts';

const cacheName = 'entrepot';
/** distribution-spec "Warnings": all of a response's warnings have at most 4096 bytes. */
const maxWarningLength = 1_000;

/** `Cache-Status` (RFC 9211), `Age` (RFC 9111) and, for a stale answer, `Warning: 299`. */
export function truthHeaders(provenance: Provenance, now: number): Readonly<Record<string, string>> {
  const since = 'since' in provenance ? (provenance.since ?? now) : now;
  const headers = {
    'Cache-Status': [cacheName, ...cacheStatus(provenance)].join('; '),
    Age: String(Math.max(0, Math.floor((now - since) / 1000))),
  };
  if (provenance.kind !== 'stale') return headers;
  const text = `served from the cache, the upstream could not be asked: ${provenance.because.reason}`;
  return { ...headers, Warning: `299 - "${quotable(text)}"` };
}

function cacheStatus(provenance: Provenance): readonly string[] {
  switch (provenance.kind) {
    case 'hit':
      return ['hit'];
    case 'hosted':
      return ['hit', 'detail=hosted'];
    case 'miss':
      return [
        'fwd=miss',
        ...whatBecameOfIt(provenance),
        ...(provenance.detail === undefined ? [] : [`detail=${provenance.detail}`]),
      ];
    case 'revalidated':
      return ['fwd=stale', 'fwd-status=200', ...whatBecameOfIt(provenance)];
    case 'stale':
      return ['fwd=stale', upstreamStatus(provenance.because)];
  }
}

function whatBecameOfIt({
  stored,
  collapsed,
}: {
  readonly stored: boolean;
  readonly collapsed: boolean;
}): readonly string[] {
  return [...(stored ? ['stored'] : []), ...(collapsed ? ['collapsed'] : [])];
}

function upstreamStatus(failure: UpstreamFailure): string {
  if (failure.kind === 'rate-limited') return 'fwd-status=429';
  if (failure.kind === 'unavailable' && failure.status !== undefined) return `fwd-status=${failure.status}`;
  return `detail=${failure.kind}`;
}

/** The inside of a quoted string of visible ASCII. */
function quotable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, ' ')
    .replace(/["\\]/g, "'")
    .slice(0, maxWarningLength);
}
