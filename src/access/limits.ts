/** Every bound of this folder. Times in milliseconds unless the name says otherwise. */
export const limits = {
  /** How often a file of users or tokens is looked at. */
  fileLookMs: 1_000,
  maxFileBytes: 8 * 1024 * 1024,

  /** bcrypt looks at no more of a password. */
  maxPasswordBytes: 72,
  /** Of new hashes: a quarter of a second on a server of 2025. */
  bcryptCost: 12,
  /** A hash that costs more keeps a thread for many seconds. */
  maxBcryptCost: 15,
  /** At once. bcrypt runs on the four threads that also read files: transfers keep half of them. */
  maxBcryptRuns: 2,
  /** Waiting for one of the runs: some 16 s of work. */
  maxBcryptQueue: 128,
  /** Of that, from one address, so that one client does not keep all others out. */
  maxBcryptPerAddress: 16,
  busyRetrySeconds: 5,

  verifiedTtlMs: 5 * 60_000,
  failedTtlMs: 10 * 60_000,
  /** Pairs of user and password, verified and failed each. */
  maxRememberedPairs: 10_000,

  /** Distinct wrong passwords for one user from one address within the window. */
  maxWrongPasswords: 5,
  wrongPasswordWindowMs: 5 * 60_000,
  /** Pairs of user and address whose wrong passwords are counted. */
  maxSlowedPairs: 10_000,

  bearerTtlSeconds: 300,
  maxScopes: 32,
  /** Of all scopes together. With the rest of a token they stay well below the 16 KiB that Node.js allows all headers. */
  maxScopeCharacters: 4_096,
  /** Of an `Authorization` header. */
  maxAuthorizationCharacters: 12_288,

  maxMachineTokens: 10_000,
} as const;
