import { type Content, contentOf, nothing, slice } from './content.ts';
import type { Gate } from './gate.ts';

export type Headers = Readonly<Record<string, string>>;

export const BEFORE_HEADERS = -1;

/** A point of the answer, counted in bytes of this body, where it does not simply go on. */
interface Stop {
  readonly atByte: number;
  readonly then: 'hang' | 'cut' | Gate;
}

/** What will be answered, and how it will be put on the wire. Faults rewrite it before it is sent. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Content;
  readonly honoursRange: boolean;
  /** `size` tells the truth; `nothing` leaves the length out, which makes the body chunked. */
  readonly contentLength: number | 'size' | 'nothing';
  readonly stops: readonly Stop[];
  readonly bytesPerSecond: number;
}

export function reply(status: number, headers: Headers = {}, body: Content = nothing): Reply {
  return {
    status,
    headers,
    body,
    honoursRange: false,
    contentLength: 'size',
    stops: [],
    bytesPerSecond: Number.POSITIVE_INFINITY,
  };
}

export function jsonReply(status: number, value: object, headers: Headers = {}): Reply {
  const body = contentOf(JSON.stringify(value));
  return reply(status, { 'content-type': 'application/json', ...headers }, body);
}

export function failure(status: number, code: string, message: string, headers: Headers = {}): Reply {
  return jsonReply(status, errorBody(code, message), headers);
}

export function errorBody(code: string, message: string): object {
  return { errors: [{ code, message, detail: null }] };
}

/** RFC 9110 section 14: what is malformed, or asks for several ranges, may be answered as if it were not there. */
export function withRange(whole: Reply, range: string | undefined): Reply {
  if (!whole.honoursRange || whole.status !== 200) return whole;
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
  if (first === '' && last === '') return whole;

  const { size } = whole.body;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(Number(last) + 1, size);
  if (start >= size) {
    const unsatisfied = { 'content-range': `bytes */${size}` };
    return { ...whole, status: 416, headers: { ...whole.headers, ...unsatisfied }, body: nothing };
  }
  if (end <= start) return whole;
  const headers = { ...whole.headers, 'content-range': `bytes ${start}-${end - 1}/${size}` };
  return { ...whole, status: 206, headers, body: slice(whole.body, start, end) };
}
