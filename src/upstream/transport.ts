import { rootCertificates } from 'node:tls';
import { Agent, type Dispatcher, errors } from 'undici';
import { fail, ok } from '../oci/result.ts';
import { Body } from './body.ts';
import type { Answer, Exchange, NoAnswer, Request } from './exchange.ts';
import type { Limits } from './limits.ts';

interface TransportOptions {
  readonly ca?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly connectTimeoutMs: number;
  readonly userAgent: string;
  readonly limits: Limits;
}

export interface Transport {
  readonly exchange: Exchange;
  close(): Promise<void>;
}

/** One request, one answer. */
export function createTransport(options: TransportOptions): Transport {
  // Blobs have connections of their own: a manifest must not queue behind 64 downloads.
  const [blobs, others] = [createAgent(options), createAgent(options)];
  return {
    exchange: async (request) => {
      const sentAt = performance.now();
      try {
        const response = await send(request.kind === 'blob' ? blobs : others, request, options.userAgent);
        return ok(answerOf(response));
      } catch (error) {
        return fail(noAnswer(error, request, performance.now() - sentAt));
      }
    },
    close: async () => {
      await Promise.all([blobs.destroy(), others.destroy()]);
    },
  };
}

/** What one body may gather while its reader is busy, the disk being slower than the network for a while. */
const readAheadBytes = 256 * 1024;

function createAgent({ ca, insecure, connectTimeoutMs, limits }: TransportOptions): Agent {
  return new Agent({
    connections: limits.connectionsPerOrigin,
    keepAliveTimeout: limits.keepAliveMs,
    // The request's own bound ends the wait for headers, to the millisecond.
    headersTimeout: 0,
    bodyTimeout: limits.bodyIdleTimeoutMs,
    connect: {
      timeout: connectTimeoutMs,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: limits.addressTimeoutMs,
      rejectUnauthorized: insecure !== true,
      // Redirects lead to hosts with public certificates: the given authority comes on top.
      ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    },
  });
}

function send(
  agent: Agent,
  { method, url, headers, bound }: Request,
  userAgent: string,
): Promise<Dispatcher.ResponseData> {
  return agent.request({
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    method,
    headers: { ...headers, 'user-agent': userAgent, 'accept-encoding': 'identity' },
    signal: bound.signal,
    highWaterMark: readAheadBytes,
  });
}

function answerOf({ statusCode, headers, body }: Dispatcher.ResponseData): Answer {
  const all = (name: string): readonly string[] => [headers[name] ?? []].flat();
  return {
    status: statusCode,
    header: (name) => all(name)[0],
    headers: all,
    body: new Body(body),
    withCredentials: false,
  };
}

function noAnswer(error: unknown, { url, bound }: Request, waitedMs: number): NoAnswer {
  const trouble = { kind: 'no-answer', elsewhere: false } as const;
  if (bound.ending === 'abandoned') {
    return { ...trouble, cause: 'abandoned', code: 'ABORTED', reason: 'whoever asked has left' };
  }
  if (bound.ending === 'deadline') {
    // Where most of the time was spent elsewhere, running out of it says nothing about who was asked last.
    const cause = waitedMs * 2 >= bound.milliseconds ? 'silence' : 'out-of-time';
    return { ...trouble, cause, code: 'TIMEOUT', reason: `${url.origin} did not answer within ${seconds(waitedMs)} s` };
  }
  const code = codeOf(error);
  return { ...trouble, cause: 'connection', code, reason: `${url.origin} cannot be asked: ${describe(code)}` };
}

function codeOf(error: unknown): string {
  if (error instanceof errors.HTTPParserError) return 'INVALID_HTTP';
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'UNKNOWN';
}

const untrusted = 'nobody trusted here has signed its certificate; the setting ca names who did';

const descriptions: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'it refuses connections',
  ECONNRESET: 'it closed the connection',
  UND_ERR_SOCKET: 'it closed the connection',
  UND_ERR_CONNECT_TIMEOUT: 'connecting took too long',
  ENOTFOUND: 'its name is not known to DNS',
  EAI_AGAIN: 'DNS does not answer',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS; its endpoint may have to start with http://',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UND_ERR_HEADERS_OVERFLOW: 'its headers are too large',
  INVALID_HTTP: 'what it sends is not HTTP',
};

function describe(code: string): string {
  const words = descriptions[code];
  return words === undefined ? code : `${words} (${code})`;
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}
