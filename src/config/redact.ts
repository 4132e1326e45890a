import type { Config, NotificationConfig, UpstreamConfig } from './config.ts';
import { certificatesIn } from './resolve.ts';
import { formatDuration, formatSize } from './units.ts';
import { redactedWebhookUrl } from './webhook.ts';

const hidden = '(hidden)';

/** The effective configuration in the form of the file, for people and scripts to read, without secrets. */
export function redacted(config: Config) {
  const { listen, storage, defaultUpstream, access, log } = config;
  return {
    listen: { ...listen, trustedProxies: listen.trustedProxies.map(({ text }) => text) },
    storage: redactedStorage(storage),
    upstreams: Object.fromEntries([...config.upstreams].map(([name, upstream]) => [name, redactedUpstream(upstream)])),
    defaultUpstream,
    private: redactedPrivate(config.private),
    access: redactedAccess(access),
    notifications: config.notifications.map(redactedNotification),
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

function redactedAccess({ htpasswd, anonymous, rules }: Config['access']) {
  const texts = (named: readonly { readonly text: string }[]) => named.map(({ text }) => text);
  return {
    ...(htpasswd !== undefined && { htpasswd }),
    anonymous,
    rules: rules.map((rule) => ({
      repositories: texts(rule.repositories),
      ...(rule.pull && { pull: texts(rule.pull) }),
      ...(rule.push && { push: texts(rule.push) }),
      ...(rule.delete && { delete: texts(rule.delete) }),
    })),
  };
}

function redactedPrivate({ namespaces, policies }: Config['private']) {
  const texts = (named: readonly { readonly text: string }[]) => named.map(({ text }) => text);
  return {
    namespaces: texts(namespaces),
    ...(policies.length > 0 && {
      policies: policies.map(({ repositories, immutableTags, retention }) => ({
        repositories: texts(repositories),
        immutableTags: texts(immutableTags),
        ...(retention && { retention: { keepLast: retention.keepLast, keep: texts(retention.keep) } }),
      })),
    }),
  };
}

function redactedNotification({ url, events, headers }: NotificationConfig) {
  return {
    url: redactedWebhookUrl(url),
    events,
    headers: Object.fromEntries(Object.keys(headers).map((name) => [name, hidden])),
  };
}

function redactedUpstream({
  endpoints,
  credentials,
  tagTtl,
  privateRepositories,
  search,
  ca,
  insecure,
}: UpstreamConfig) {
  return {
    endpoints,
    ...(credentials && { username: credentials.username, password: hidden }),
    tagTtl: tagTtl.map(({ match, ttlMs }) => ({ match: match.text, ttl: formatDuration(ttlMs) })),
    privateRepositories,
    search,
    ...(ca !== undefined && { ca: `(certificates: ${certificatesIn(ca).length})` }),
    insecure,
  };
}
