import { STATUS_CODES } from 'node:http';
import type { ErrorCode } from '../oci/error-code.ts';
import { errorBody } from './fail.ts';

/** Of what Node's parser or TLS refuses, so that it never reaches Koa. */
export interface Refusal {
  readonly status: number;
  readonly code: ErrorCode;
  readonly message: string;
}

/** The whole answer, as it goes over the connection, which ends with it. */
export function refusalText({ status, code, message }: Refusal): string {
  const body = JSON.stringify(errorBody(code, message));
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}
