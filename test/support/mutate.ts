import { Random } from '../e2e/support/random.ts';
import { type Draft, mutators } from './mutate/mutators.ts';
import type { WireRequest } from './push-session.ts';

/** A request that was valid once. */
export interface Mutation {
  /** With the seed enough to make it again: `mutationAt(session, seed, index)`. */
  readonly index: number;
  /** What was done to it, for a finding. */
  readonly what: readonly string[];
  readonly method: string;
  /** The whole request but for the upload, see `WireRequest.path`. */
  readonly head: Buffer;
  readonly body: Buffer;
  /**
   * The length of the body is not what the headers say, or the request is no HTTP: what follows on this connection
   * would not be understood, and the server may end it without a word.
   */
  readonly isMisframed: boolean;
}

const maxMutations = 3;

/** The mutation of this number; the same one again for the same seed and session. */
export function mutationAt(session: readonly WireRequest[], seed: number, index: number): Mutation {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const { method, path, headers, body } = random.pick(session);
  const draft: Draft = { method, path, headers: [...headers], body, version: 'HTTP/1.1', isMisframed: false };
  const what: string[] = [];
  for (let left = random.integer(1, maxMutations); left > 0; left -= 1) {
    const [name, mutate] = random.pick(mutators);
    what.push(name);
    mutate(draft, random);
  }
  const lines = draft.headers.map(([name, value]) => `${name}: ${value}\r\n`);
  const head = Buffer.from(`${draft.method} ${draft.path} ${draft.version}\r\n${lines.join('')}\r\n`);
  return { index, what, method: draft.method, head, body: draft.body, isMisframed: draft.isMisframed };
}
