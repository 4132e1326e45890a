import { z } from 'zod';
import { type Mutation, mutationAt } from './mutate.ts';
import { liveUpload, pushSession, type SessionParts } from './push-session.ts';
import { RawConnection, type RawOutcome } from './raw-connection.ts';

export interface Storm extends Omit<SessionParts, 'host'> {
  /** `http://host:port`. */
  readonly url: string;
  readonly seed: number;
  readonly count: number;
  readonly connections?: number;
  /** Longer without a whole answer, or an end of the connection, is a hang. */
  readonly answerMs?: number;
}

/** What a server must not do. */
interface Finding {
  readonly index: number;
  readonly what: readonly string[];
  readonly trouble: string;
  /** The beginning of the request. */
  readonly request: string;
}

export interface StormReport {
  /** How many answers had this status, or `closed`. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The first of them, at most {@link maxFindings}. */
  readonly findings: readonly Finding[];
}

/** Node's own limit; a server that closes while more is coming may cut off its answer with it. */
const maxHeadBytes = 16 * 1024;
const maxFindings = 50;
const shownRequestBytes = 300;
/** A new upload is begun after so many mutations on a connection: most of them end or spoil the last one. */
const mutationsPerUpload = 25;

/** Sends `count` mutations of a push session and looks at every answer. Mutation `index` is the same in every run. */
export async function storm(options: Storm): Promise<StormReport> {
  const { url, seed, count, connections = 32, answerMs = 10_000 } = options;
  const session = pushSession({ ...options, host: new URL(url).host });
  const outcomes = new Map<string, number>();
  const findings: Finding[] = [];
  let next = 0;

  async function work(): Promise<void> {
    using connection = new RawConnection(url, answerMs);
    let upload = '';
    for (let done = 0; next < count; done += 1) {
      const mutation = mutationAt(session, seed, next);
      next += 1;
      if (done % mutationsPerUpload === 0) upload = await begin(connection, options);
      const bytes = Buffer.concat([withUpload(mutation.head, upload), mutation.body]);
      const isHead = mutation.method === 'HEAD';
      const outcome = await connection.exchange({ bytes, isHead, thenEnd: mutation.isMisframed });
      const name = typeof outcome === 'string' ? outcome : String(outcome.status);
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
      const trouble = troubleWith(mutation, outcome);
      if (trouble !== undefined && findings.length < maxFindings) findings.push(findingOf(mutation, bytes, trouble));
    }
  }

  await Promise.all(Array.from({ length: connections }, work));
  return { outcomes, findings };
}

/** The last segment and the query of a new upload's Location, or of none where the server begins none. */
async function begin(connection: RawConnection, { url, repository, authorization }: Storm): Promise<string> {
  const credentials = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
  const head = `POST /v2/${repository}/blobs/uploads/ HTTP/1.1\r\nHost: ${new URL(url).host}\r\n${credentials}Content-Length: 0\r\n\r\n`;
  connection.hangUp();
  const answer = await connection.exchange({ bytes: Buffer.from(head), isHead: false, thenEnd: false });
  const location = typeof answer === 'string' ? undefined : answer.headers.get('location');
  if (location === undefined) return 'none';
  const { pathname, search } = new URL(location, url);
  return pathname.slice(pathname.lastIndexOf('/') + 1) + search;
}

function withUpload(head: Buffer, upload: string): Buffer {
  const at = head.indexOf(liveUpload);
  if (at < 0) return head;
  const after = head.subarray(at + liveUpload.length);
  // The upload may have a query of its own, and the request's goes on from there.
  const rest =
    upload.includes('?') && after[0] === questionMark ? Buffer.concat([Buffer.from('&'), after.subarray(1)]) : after;
  return Buffer.concat([head.subarray(0, at), Buffer.from(upload), rest]);
}

const questionMark = 0x3f;

/** Undefined when the server did as it should. */
function troubleWith(mutation: Mutation, outcome: RawOutcome): string | undefined {
  if (outcome === 'silent') return 'no whole answer in time';
  if (outcome === 'closed') {
    const mayBeCut = mutation.isMisframed || mutation.head.length > maxHeadBytes;
    return mayBeCut ? undefined : 'the connection was closed without an answer';
  }
  const { status, headers, body } = outcome;
  if (headers.has('x-injected')) return 'a header of the answer came out of the request';
  if (status >= 500 || status < 200) return `status ${status}: ${body.toString('latin1', 0, shownRequestBytes)}`;
  if (status < 400 || mutation.method === 'HEAD') return undefined;
  return troubleWithError(body, headers.get('content-type'));
}

function troubleWithError(body: Buffer, contentType = ''): string | undefined {
  const shown = body.toString('latin1', 0, shownRequestBytes);
  if (!contentType.startsWith('application/json')) return `an error of type "${contentType}": ${shown}`;
  const error = errorBody.safeParse(jsonOf(body));
  if (!error.success) return `an error that is no OCI error: ${shown}`;
  return error.data.errors.some(({ message }) => /\n\s+at /.test(message)) ? `a stack trace: ${shown}` : undefined;
}

const errorBody = z.object({ errors: z.array(z.object({ code: z.string(), message: z.string() })).min(1) });

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

function findingOf({ index, what }: Mutation, bytes: Buffer, trouble: string): Finding {
  return { index, what, trouble, request: bytes.toString('latin1', 0, shownRequestBytes) };
}
