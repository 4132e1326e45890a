/** The named bounds of everything outbound. Tests shorten some. */
export const defaultLimits = {
  /** To TCP and TLS being up; shared out where several endpoints might all be dead, see `connectTimeoutMs()`. */
  connectTimeoutMs: 3_000,
  connectTimeoutAllEndpointsMs: 4_500,
  /** Per address of a host. Node's own 250 ms never connects over a satellite (nodejs/node#54359). */
  addressTimeoutMs: 1_000,
  connectionsPerOrigin: 64,
  keepAliveMs: 10_000,
  /** Silence in the middle of a body. */
  bodyIdleTimeoutMs: 30_000,
  /** For the whole of a body that is read into memory. */
  bodyReadMs: 30_000,
  errorBodyMs: 1_000,
  maxErrorBodyBytes: 64 * 1024,
  maxTagsBytes: 8 * 1024 * 1024,
  maxTokenBytes: 64 * 1024,
  /** For the whole of a search: somebody is waiting at a prompt for what is here already. */
  searchTimeoutMs: 3_000,
  maxSearchBytes: 512 * 1024,
  tokenTimeoutMs: 5_000,
  maxTokens: 1_000,
  maxChallenges: 10_000,
  /** Origins of token endpoints whose health is kept. */
  maxTokenEndpoints: 50,
  maxRedirects: 5,
  attemptsPerEndpoint: 3,
  backoffMs: 100,
  circuitOpenMs: 5_000,
  /** After an error that says nothing of when to come back. */
  unavailableSeconds: 5,
  rateLimitedSeconds: 60,
  maxRateLimitedSeconds: 6 * 3_600,
  /** Of what an upstream says of itself, as it is passed on in a reason. */
  maxMessageLength: 200,
} as const;

export type Limits = { readonly [name in keyof typeof defaultLimits]: number };

/** undici's timers are late by up to this. */
const timerSlackMs = 500;
const minConnectTimeoutMs = 250;

/** What is not cached has to fail within 5 s, also where every endpoint swallows connections. */
export function connectTimeoutMs(limits: Limits, endpoints: number): number {
  const share = Math.floor(limits.connectTimeoutAllEndpointsMs / endpoints) - timerSlackMs;
  return Math.min(limits.connectTimeoutMs, Math.max(share, minConnectTimeoutMs));
}

/** False also for a time in the future: after a clock was set back, nothing holds on to what it measured before. */
export function isWithin(now: number, since: number, milliseconds: number): boolean {
  return now >= since && now - since < milliseconds;
}
