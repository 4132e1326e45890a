import { isIP } from 'node:net';
import { fail, ok, type Result } from '../oci/result.ts';

export interface SelfSignedOptions {
  /** DNS names, which may begin with `*.`, and IP addresses. */
  readonly hosts: readonly [string, ...string[]];
  readonly days: number;
  readonly directory: string;
  /** Whether an older server certificate may be replaced. */
  readonly force: boolean;
  readonly json: boolean;
}

/** As option parsing gives them. */
interface Given {
  readonly hosts: readonly string[];
  readonly days: string | undefined;
  readonly out: string | undefined;
  readonly force: boolean;
  readonly json: boolean;
}

/** What Apple's clients accept of a private authority, and nobody accepts less. */
const defaultDays = 825;
const maxDays = 36_500;
const defaultDirectory = 'tls';

/** The failure is the problem, as one sentence. */
export function parseTlsArguments(rest: readonly string[], given: Given): Result<SelfSignedOptions, string> {
  const [topic, surplus] = rest;
  if (topic !== 'self-signed') return fail(topic === undefined ? 'tls needs self-signed behind it' : noTopic(topic));
  if (surplus !== undefined) return fail(`tls self-signed takes no argument ${JSON.stringify(surplus)}`);
  const [first, ...others] = given.hosts.map((host) => host.toLowerCase());
  if (first === undefined)
    return fail('tls self-signed needs --host, the name or address by which clients reach the mirror');
  const wrong = [first, ...others].find((host) => !isHost(host));
  if (wrong !== undefined) {
    return fail(`--host ${JSON.stringify(wrong)} is neither a host name nor an IP address (without port and https://)`);
  }
  const days = Number(given.days ?? defaultDays);
  if (!Number.isInteger(days) || days < 1 || days > maxDays)
    return fail(`--days must be an integer from 1 to ${maxDays}`);
  return ok({
    hosts: [first, ...others],
    days,
    directory: given.out ?? defaultDirectory,
    force: given.force,
    json: given.json,
  });
}

function noTopic(topic: string): string {
  return `tls knows self-signed, and not ${JSON.stringify(topic)}`;
}

const maxHostNameLength = 253;

function isHost(text: string): boolean {
  if (isIP(text) !== 0) return !text.includes('%');
  if (text.length > maxHostNameLength || /(?:^|\.)\d+$/.test(text)) return false;
  return /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(text);
}
