/**
 * Every setting: its documentation, its type and what is allowed, in one place. `mirror.config.schema.json` is generated
 * from here.
 */
import { z } from 'zod';
import {
  addressRange,
  canonicalPattern,
  duration,
  flag,
  imagePattern,
  integer,
  mustBe,
  object,
  oneOf,
  pattern,
  principal,
  publicUrl,
  size,
  tagName,
  tagPattern,
  text,
  url,
  webhookUrl,
} from './values.ts';
import { withoutCredentials } from './webhook.ts';

export const dockerHub = 'docker.io';

/** Hosts that serve Docker Hub and stand in no image reference. */
export const dockerHubHosts = ['index.docker.io', 'registry-1.docker.io'];

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
  search: flag
    .prefault(true)
    .describe(
      "Whether `docker search` here asks Docker Hub's search too. Without effect where no endpoint is Docker Hub.",
    ),
  ca: text.optional().describe('File with the certificates (PEM) to trust here instead of the public ones.'),
  insecure: flag.prefault(false).describe('Do not check certificates: whoever is in between can read the password.'),
}).superRefine(refineUpstream, { when: ({ value }) => isObject(value) });

export const defaultUpstreams = { [dockerHub]: { endpoints: ['https://registry-1.docker.io'] } };

const tls = object({
  cert: text.describe(
    'File with the certificate (PEM), relative to this file; those that link it to its authority may follow it.',
  ),
  key: text.describe('File with its private key (PEM, without a passphrase).'),
});

const listen = object({
  host: text.prefault('0.0.0.0').describe('Address to listen on: 0.0.0.0 is all of IPv4, :: all of IPv4 and IPv6.'),
  port: integer(0, 65_535).prefault(5000).describe('Port to listen on; 0 is any free one.'),
  tls: tls
    .optional()
    .describe('Speak HTTPS, and only that. The files are read again when they change. Default: plain HTTP.'),
  clientCa: text
    .optional()
    .describe(
      'File with the authorities (PEM) of client certificates. A client may have none; a wrong one is refused.',
    ),
  trustedProxies: z
    .array(addressRange, mustBe('a list of addresses and networks'))
    .prefault([])
    .describe('Proxies, such as "10.0.0.5" or "fd00::/8", whose X-Forwarded-For, -Proto and -Host are believed.'),
  publicUrl: publicUrl
    .optional()
    .describe('How clients reach the mirror, such as "https://mirror.lan", if that is not the host they name.'),
}).superRefine(refineListen, { when: ({ value }) => isObject(value) });

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

const retention = object({
  keepLast: integer(0, 1_000_000).describe('So many of the tags pushed last stay.'),
  keep: z
    .array(tagName, mustBe('a list of tag patterns'))
    .prefault([])
    .describe('Tags that stay besides, such as "v*" or "latest".'),
});

const privatePolicy = object({
  repositories: z
    .array(pattern, mustBe('a list of patterns'))
    .describe('Hosted repositories that this is about. The first policy that matches decides.'),
  immutableTags: z
    .array(tagName, mustBe('a list of tag patterns'))
    .prefault([])
    .describe('Tags that cannot be overwritten once they are pushed, such as "v*". They can be deleted.'),
  retention: retention
    .optional()
    .describe('What garbage collection keeps. Other tags go, and so do images that no tag stands for any more.'),
});

const privateNamespaces = object({
  namespaces: z
    .array(pattern, mustBe('a list of patterns'))
    .prefault([])
    .describe(
      'Repositories that are hosted here and never asked of any upstream. `*` matches within a segment, `**` any number of segments.',
    ),
  policies: z
    .array(privatePolicy, mustBe('a list of policies'))
    .prefault([])
    .describe('What may become of hosted tags. Default: they can be moved, and stay for ever.'),
});

const anonymous = object({
  pull: flag.prefault(true).describe('Whether clients without an account may pull.'),
  push: flag.prefault(false).describe('Whether clients without an account may push: for a LAN that is trusted.'),
});

const principals = z.array(principal, mustBe('a list of user names, "anonymous" or "net:10.0.0.0/8"')).optional();

const accessRule = object({
  repositories: z
    .array(canonicalPattern, mustBe('a list of patterns'))
    .min(1, mustBe('a list of at least one pattern'))
    .describe(
      'Patterns of repository names, such as "docker.io/library/**" or "team/**"; of the default upstream also without its name. `*` matches within a segment, `**` any number of segments.',
    ),
  pull: principals.describe(
    'Who may pull: user names, "anonymous" for everyone, "net:10.0.0.0/8" for a client network. Default: as without the rule.',
  ),
  push: principals.describe('Who may push, in the same words. Default: nobody.'),
  delete: principals.describe('Who may delete, in the same words. Default: who may push.'),
});

const access = object({
  htpasswd: text
    .optional()
    .describe(
      'File of users with bcrypt hashes, relative to this file. Read again when it changes. Default: htpasswd in the data directory.',
    ),
  anonymous: anonymous.prefault({}).describe('What clients without an account may do where no rule says otherwise.'),
  rules: z
    .array(accessRule, mustBe('a list of rules'))
    .prefault([])
    .describe(
      'The first that matches a repository decides. Where none does, users may pull, push and delete, and others what anonymous says.',
    ),
});

/** Of what is sent here, or what HTTP itself says with them. */
const ownHeaders =
  /^(?!(?:content-(?:type|length)|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|host)$)/i;

const headers = z.record(
  z
    .string()
    .regex(/^[\w!#$%&'*+.^`|~-]+$/, mustBe('the name of a header'))
    .regex(ownHeaders, 'cannot be chosen'),
  z.string(mustBe('a text')).regex(/^[\t\x20-\x7e]*$/, mustBe('a text of one line, in ASCII')),
  mustBe('an object of header names and their values'),
);

const notification = object({
  url: webhookUrl.describe(
    'Where events are sent: http or https. Credentials in it are sent as Basic; redirects are not followed.',
  ),
  events: z
    .array(oneOf(['push', 'pull', 'delete']), mustBe('a list of "push", "pull", "delete"'))
    .min(1, mustBe('a list of at least one of "push", "pull", "delete"'))
    .prefault(['push', 'delete'])
    .describe('What is told.'),
  headers: headers.prefault({}).describe('Headers to send along, such as Authorization. Their values are never shown.'),
}).superRefine(refineNotification, { when: ({ value }) => isObject(value) });

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
  notifications: z
    .array(notification, mustBe('a list of { "url": "https://…" }'))
    .superRefine(refineNotifications)
    .prefault([])
    .describe('Who is told by HTTP of pushes, pulls and deletions, in the format that registry:2 uses.'),
  log: log.prefault({}).describe('What is logged to standard output.'),
  shutdownGrace: duration
    .refine((ms) => ms <= maxShutdownGraceMs, mustBe('at most "1h"'))
    .prefault('30s')
    .describe('How long transfers under way may go on after SIGTERM.'),
})
  .superRefine(refineDefaultUpstream, { when: ({ value }) => isObject(value) })
  .superRefine(refineNamespaces, { when: ({ value }) => isObject(value) });

/** What the file says, defaults filled in; the files it names are not read yet. */
export type Settings = z.output<typeof settingsSchema>;
export type UpstreamSettings = Settings['upstreams'][string];

// Rules between settings also run beside other problems, so that all are reported at once. So they can trust no type.

function refineListen(value: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  if (value['clientCa'] === undefined || value['tls'] !== undefined) return;
  context.addIssue({ code: 'custom', path: ['clientCa'], message: 'needs tls beside it' });
}

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

function refineNotification(value: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { url: text, headers: sent } = value;
  if (typeof text !== 'string' || !URL.canParse(text) || !isObject(sent)) return;
  const { username, password } = new URL(text);
  const isTwice =
    username + password !== '' && Object.keys(sent).some((name) => name.toLowerCase() === 'authorization');
  if (!isTwice) return;
  context.addIssue({
    code: 'custom',
    path: ['headers'],
    message: 'cannot name Authorization beside credentials in the URL',
  });
}

function refineNotifications(list: readonly { readonly url: string }[], context: z.RefinementCtx): void {
  const known = list.map(({ url: text }) => withoutCredentials(text));
  for (const [index, text] of known.entries()) {
    const first = known.indexOf(text);
    if (first === index) continue;
    const message = `is the URL of notifications[${first}] too: one entry can list all its events`;
    context.addIssue({ code: 'custom', path: [index, 'url'], message });
  }
}

/** What is hosted is asked for without a registry: such a pattern would match nothing. */
function refineNamespaces(value: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  const { upstreams, private: hosting } = value;
  if (!isObject(upstreams) || !isObject(hosting) || !('namespaces' in hosting)) return;
  const { namespaces } = hosting;
  if (!Array.isArray(namespaces)) return;
  for (const [position, pattern] of namespaces.entries()) {
    const text: unknown = isObject(pattern) && 'text' in pattern ? pattern.text : undefined;
    const registry = typeof text === 'string' ? text.split('/', 1)[0] : undefined;
    if (registry === undefined || !Object.hasOwn(upstreams, registry)) continue;
    const message = `must be written without the registry in front: "${String(text).slice(registry.length + 1)}"`;
    context.addIssue({ code: 'custom', path: ['private', 'namespaces', position], message });
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
