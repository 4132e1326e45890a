import { gzipSync } from 'node:zlib';
import { contentOf, withByteFlipped, withBytesAppended } from './content.ts';
import type { Gate } from './gate.ts';
import { BEFORE_HEADERS, errorBody, type Headers, jsonReply, type Reply, reply } from './reply.ts';
import { type Arrival, type ArrivalFilter, matches } from './requests.ts';

/**
 * `afterBytes` counts bytes of the body that is being sent; `atByte` is an offset in the whole blob or manifest,
 * so that the damage stays in its place when a range is asked for.
 */
export type Fault =
  /** The connection closes before a byte of an answer. */
  | { readonly kind: 'refuse' }
  /** Without `afterBytes`, no headers either; with 0, headers only. */
  | { readonly kind: 'hang'; readonly afterBytes?: number }
  | { readonly kind: 'gate'; readonly gate: Gate; readonly afterBytes?: number }
  /** The announced length stays that of the whole body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  | { readonly kind: 'flip-byte'; readonly atByte: number }
  /** Longer than its descriptor says, and honest about it. */
  | { readonly kind: 'oversize'; readonly extraBytes: number }
  /** All is sent, whatever was announced; then the connection closes. */
  | { readonly kind: 'content-length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'ignore-range' }
  /** A 401 carries the usual challenge unless the headers bring another one. */
  | {
      readonly kind: 'status';
      readonly status: number;
      /** An object is sent as JSON, a string as plain text. */
      readonly body?: object | string;
      readonly headers?: Headers;
    }
  | { readonly kind: 'redirect'; readonly to: string; readonly status?: number }
  | { readonly kind: 'redirect-loop' }
  /** Undefined leaves the header out. */
  | { readonly kind: 'digest-header'; readonly value: string | undefined }
  /** `label-only`: the bytes are not encoded at all, as registries do that call a layer "gzip" for being a .tar.gz. */
  | { readonly kind: 'content-encoding'; readonly as: 'gzip' | 'label-only' }
  | { readonly kind: 'headers'; readonly headers: Headers };

export interface FaultRule {
  /** `nth` counts from 1 among the requests that match the rest. */
  readonly when: ArrivalFilter & { readonly nth?: number };
  /** How many requests are hit before the rule is spent. Default: all. */
  readonly times?: number;
  readonly do: Fault;
}

export interface FaultHandle {
  readonly hits: number;
  remove(): void;
}

/** All rules that match a request apply to it, in the order in which they were added. */
export class FaultPlan {
  readonly #rules = new Set<(arrival: Arrival) => Fault | undefined>();

  add(rule: FaultRule): FaultHandle {
    const { nth, ...filter } = rule.when;
    const { times = Number.POSITIVE_INFINITY } = rule;
    let seen = 0;
    let hits = 0;
    const strike = (arrival: Arrival) => {
      if (!matches(arrival, filter)) return undefined;
      seen += 1;
      if (hits >= times || (nth !== undefined && nth !== seen)) return undefined;
      hits += 1;
      return rule.do;
    };
    this.#rules.add(strike);
    return {
      get hits() {
        return hits;
      },
      remove: () => void this.#rules.delete(strike),
    };
  }

  clear(): void {
    this.#rules.clear();
  }

  /** Counts as a hit: to be called once per request. */
  strike(arrival: Arrival): readonly Fault[] {
    return [...this.#rules].map((strike) => strike(arrival)).filter((fault) => fault !== undefined);
  }
}

/** What Docker Hub answers to a client that pulled too much. The text is in its documentation. */
export function pullLimitReached(headers: Headers = {}): Fault & { readonly kind: 'status' } {
  const message = 'You have reached your pull rate limit. You may increase the limit by authenticating and upgrading';
  return { kind: 'status', status: 429, body: errorBody('TOOMANYREQUESTS', message), headers };
}

/** What Docker Hub answers to a client that asks too often for anything: no JSON (docker/hub-feedback#1907). */
export function abuseLimitReached(headers: Headers = {}): Fault & { readonly kind: 'status' } {
  return { kind: 'status', status: 429, body: 'Too Many Requests (HAP429).\n', headers };
}

/** What a fault needs to know of the request it hits. */
interface FaultSite {
  readonly ownUrl: string;
  readonly challenge: Headers;
}

/** Speaks in the registry's place, which never hears of the request and so counts no pull. */
export function replacesAnswer({ kind }: Fault): boolean {
  return kind === 'refuse' || kind === 'status' || kind === 'redirect' || kind === 'redirect-loop';
}

export function alter(before: Reply, fault: Fault, site: FaultSite): Reply {
  switch (fault.kind) {
    case 'refuse':
      return stopped(before, BEFORE_HEADERS, 'cut');
    case 'hang':
      return stopped(before, fault.afterBytes ?? BEFORE_HEADERS, 'hang');
    case 'gate':
      return stopped(before, fault.afterBytes ?? BEFORE_HEADERS, fault.gate);
    case 'cut':
      return stopped(before, fault.afterBytes, 'cut');
    case 'slow':
      return { ...before, bytesPerSecond: fault.bytesPerSecond };
    case 'flip-byte':
      return { ...before, body: withByteFlipped(before.body, fault.atByte) };
    case 'oversize':
      return { ...before, body: withBytesAppended(before.body, fault.extraBytes) };
    case 'content-length':
      return { ...before, contentLength: fault.bytes };
    case 'chunked':
      return { ...before, contentLength: 'nothing' };
    case 'ignore-range':
      return { ...before, honoursRange: false };
    case 'status':
      return statusReply(fault, site.challenge);
    case 'redirect':
      return reply(fault.status ?? 307, { location: fault.to });
    case 'redirect-loop':
      return reply(307, { location: site.ownUrl });
    case 'digest-header':
      return withDigestHeader(before, fault.value);
    case 'content-encoding':
      return encoded(before, fault.as);
    case 'headers':
      return { ...before, headers: { ...before.headers, ...fault.headers } };
  }
}

export function statusReply(fault: Fault & { readonly kind: 'status' }, challenge: Headers = {}): Reply {
  const headers = { ...(fault.status === 401 ? challenge : {}), ...fault.headers };
  if (typeof fault.body === 'object') return jsonReply(fault.status, fault.body, headers);
  return reply(fault.status, { 'content-type': 'text/plain', ...headers }, contentOf(fault.body ?? ''));
}

function stopped(before: Reply, atByte: number, then: Reply['stops'][number]['then']): Reply {
  return { ...before, stops: [...before.stops, { atByte, then }] };
}

function withDigestHeader(before: Reply, value: string | undefined): Reply {
  const others = Object.entries(before.headers).filter(([name]) => name !== 'docker-content-digest');
  const own = value === undefined ? {} : { 'docker-content-digest': value };
  return { ...before, headers: { ...Object.fromEntries(others), ...own } };
}

function encoded(before: Reply, as: 'gzip' | 'label-only'): Reply {
  const headers = { ...before.headers, 'content-encoding': 'gzip' };
  if (as === 'label-only') return { ...before, headers };
  return { ...before, headers, body: contentOf(gzipSync(before.body.read(0, before.body.size))) };
}
