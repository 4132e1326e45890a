import type { Config, UpstreamConfig } from './config.ts';
import { certificatesIn } from './resolve.ts';
import { formatDuration, formatSize } from './units.ts';

const hidden = '(hidden)';

/** The effective configuration in the form of the file, for people and scripts to read, without secrets. */
export function redacted(config: Config) {
  const { listen, storage, defaultUpstream, access, log } = config;
  return {
    listen,
    storage: redactedStorage(storage),
    upstreams: Object.fromEntries([...config.upstreams].map(([name, upstream]) => [name, redactedUpstream(upstream)])),
    defaultUpstream,
    private: { namespaces: config.private.namespaces.map(({ text }) => text) },
    access,
    log,
    shutdownGrace: formatDuration(config.shutdownGrace),
  };
}

function redactedStorage({ path, maxSize, minFree, maxAge, pins, gcEvery, gcGrace, scrubRate }: Config['storage']) {
  return {
    path,
    maxSize: formatSize(maxSize),
    ...(minFree !== undefined && { minFree: formatSize(minFree) }),
    ...(maxAge !== undefined && { maxAge: formatDuration(maxAge) }),
    pins: pins.map(({ text }) => text),
    gcEvery: formatDuration(gcEvery),
    gcGrace: formatDuration(gcGrace),
    ...(scrubRate !== undefined && { scrubRate: formatSize(scrubRate) }),
  };
}

function redactedUpstream({ endpoints, credentials, tagTtl, privateRepositories, ca, insecure }: UpstreamConfig) {
  return {
    endpoints,
    ...(credentials && { username: credentials.username, password: hidden }),
    tagTtl: tagTtl.map(({ match, ttlMs }) => ({ match: match.text, ttl: formatDuration(ttlMs) })),
    privateRepositories,
    ...(ca !== undefined && { ca: `(certificates: ${certificatesIn(ca).length})` }),
    insecure,
  };
}
