/**
 * Every setting: its documentation, its type and what is allowed, in one place. `mirror.config.schema.json` is generated
 * from here.
 */
import { z } from 'zod';
import {
  duration,
  flag,
  imagePattern,
  integer,
  mustBe,
  object,
  oneOf,
  pattern,
  size,
  tagPattern,
  text,
  url,
} from './values.ts';

export const dockerHub = 'docker.io';

/** Hosts that serve Docker Hub and stand in no image reference. */
const dockerHubHosts = ['index.docker.io', 'registry-1.docker.io'];

/** A host with a dot or a port, as clients tell a registry from the first part of a repository name. */
const registrySyntax = /^(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9.-]+:\d{1,5}|\[[0-9a-f:]+\](?::\d{1,5})?)$/;

/** Service managers kill what takes longer to stop, and a Node.js timer has its bound at 24 days. */
const maxShutdownGraceMs = 3_600_000;

const defaultTagTtl = '5m';
export const defaultTagTtlMs = duration.parse(defaultTagTtl);

const registry = text
  .regex(registrySyntax, mustBe('a registry as image references name it, such as "ghcr.io" or "registry.lan:5000"'))
  .refine((name) => !dockerHubHosts.includes(name), `is Docker Hub, which image references call "${dockerHub}"`);

const tagTtlRule = object({
  match: tagPattern.describe(
    'Pattern of the repository name, or `repository:tag`. On Docker Hub, `alpine` is `library/alpine`.',
  ),
  ttl: duration.describe('How long a tag is answered without asking the registry whether it moved.'),
});

const upstream = object({
  endpoints: z
    .array(url, mustBe('a list of URLs'))
    .min(1, mustBe('a list of at least one URL'))
    .describe('Where the registry answers: URLs, tried in this order. A path prefix is allowed; /v2 is added to it.'),
  username: text.optional().describe('Account at the registry, together with one of the three password settings.'),
  password: text.optional().describe('The password or access token itself.'),
  passwordFile: text
    .optional()
    .describe('File with the password, relative to this file. A final line end is left out.'),
  passwordEnv: text.optional().describe('Name of the environment variable with the password.'),
  tagTtl: z
    .union([duration, z.array(tagTtlRule)], mustBe('a duration or a list of { "match": "pattern", "ttl": "1h" }'))
    .prefault(defaultTagTtl)
    .describe(
      `How long a tag is answered without asking the registry whether it moved: a duration, or a list of which the first match decides (${defaultTagTtl} where none does).`,
    ),
  privateRepositories: oneOf(['users', 'anyone'])
    .prefault('users')
    .describe('Who may pull what the registry gives only to the account above.'),
  ca: text.optional().describe('File with the certificates (PEM) to trust here instead of the public ones.'),
  insecure: flag.prefault(false).describe('Do not check certificates: whoever is in between can read the password.'),
}).superRefine(refineUpstream, { when: ({ value }) => isObject(value) });

export const defaultUpstreams = { [dockerHub]: { endpoints: ['https://registry-1.docker.io'] } };

const listen = object({
  host: text.prefault('0.0.0.0').describe('Address to listen on: 0.0.0.0 is all of IPv4, :: all of IPv4 and IPv6.'),
  port: integer(0, 65_535).prefault(5000).describe('Port to listen on; 0 is any free one.'),
});

const storage = object({
  path: text.prefault('./data').describe('Directory for everything that is kept, relative to this file.'),
  maxSize: size
    .prefault('50GiB')
    .describe('Cap for everything cached: "50GiB", "50GB" or a number of bytes. Hosted images do not count.'),
  minFree: size
    .optional()
    .describe('Room to be left for others on the disk. Default: a twentieth of the disk, 1 GiB at the most.'),
  maxAge: duration
    .optional()
    .describe('Images that nobody pulled for so long are removed. Default: only for want of room.'),
  pins: z
    .array(imagePattern, mustBe('a list of patterns'))
    .prefault([])
    .describe(
      'Images that are never evicted: `[registry/]repository[:tag]` with `*` and `**`, such as "alpine:3.20" or "ghcr.io/team/**".',
    ),
  gcEvery: duration.prefault('1d').describe('How often what serves nobody is removed.'),
  gcGrace: duration
    .prefault('1d')
    .describe('How old interrupted downloads, and content that belongs to no image, must be to be removed so.'),
  scrubRate: size
    .refine((bytes) => bytes > 0, mustBe('more than 0'))
    .optional()
    .describe('Bytes per second at which stored content is hashed again in the background. Default: not at all.'),
});

const privateNamespaces = object({
  namespaces: z
    .array(pattern, mustBe('a list of patterns'))
    .prefault([])
    .describe(
      'Repositories that are hosted here and never asked of any upstream. `*` matches within a segment, `**` any number of segments.',
    ),
});

const anonymous = object({
  pull: flag.prefault(true).describe('Whether clients without an account may pull.'),
  push: z.literal(false, mustBe('false')).prefault(false).describe('Whether clients without an account may push.'),
});

const access = object({
  anonymous: anonymous.prefault({}).describe('What clients without an account may do.'),
});

const log = object({
  level: oneOf(['trace', 'debug', 'info', 'warn', 'error'])
    .prefault('info')
    .describe('The least important messages that are logged.'),
  format: oneOf(['pretty', 'json']).optional().describe('Default: pretty on a terminal, json otherwise.'),
});

export const settingsSchema = object({
  $schema: z.string(mustBe('a text')).optional().describe('For editors: where the JSON Schema of this file is.'),
  listen: listen.prefault({}).describe('Where clients reach the mirror.'),
  storage: storage.prefault({}).describe('Where and how much is kept.'),
  upstreams: z
    .record(registry, upstream, mustBe('an object'))
    .prefault(defaultUpstreams)
    .describe('The mirrored registries, keyed by their name in image references. No other host is ever asked.'),
  defaultUpstream: text
    .nullable()
    .optional()
    .describe('The upstream of names without a registry; null for none. Default: docker.io if it is an upstream.'),
  private: privateNamespaces.prefault({}).describe("The team's own images."),
  access: access.prefault({}).describe('Who may do what.'),
  log: log.prefault({}).describe('What is logged to standard output.'),
  shutdownGrace: duration
    .refine((ms) => ms <= maxShutdownGraceMs, mustBe('at most "1h"'))
    .prefault('30s')
    .describe('How long transfers under way may go on after SIGTERM.'),
}).superRefine(refineDefaultUpstream, { when: ({ value }) => isObject(value) });

/** What the file says, defaults filled in; the files it names are not read yet. */
export type Settings = z.output<typeof settingsSchema>;
export type UpstreamSettings = Settings['upstreams'][string];

// Rules between settings also run beside other problems, so that all are reported at once. So they can trust no type.

function refineUpstream(value: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const problem = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  const [first, second] = ['password', 'passwordFile', 'passwordEnv'].filter((key) => value[key] !== undefined);
  const hasUsername = value['username'] !== undefined;

  if (second !== undefined) problem(second, `cannot stand beside ${String(first)}: exactly one gives the password`);
  if (first !== undefined && !hasUsername) problem(first, 'needs a username beside it');
  if (first === undefined && hasUsername) {
    problem('username', 'needs one of password, passwordFile, passwordEnv beside it');
  }
  if (value['ca'] !== undefined && value['insecure'] === true) {
    problem('ca', 'has no effect beside insecure: use one of them');
  }
}

function refineDefaultUpstream(value: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { defaultUpstream, upstreams } = value;
  if (typeof defaultUpstream !== 'string' || !isObject(upstreams) || Object.hasOwn(upstreams, defaultUpstream)) return;
  const known = Object.keys(upstreams).map((name) => JSON.stringify(name));
  const message = `must be one of the upstreams (${known.join(', ') || 'none'}) or null`;
  context.addIssue({ code: 'custom', path: ['defaultUpstream'], message });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
