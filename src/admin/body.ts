import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { fail, ok, type Result } from '../oci/result.ts';
import type { AdminFailure } from './fail.ts';
import { maxRequestBytes } from './wire.ts';

/** What is wrong with a hostile body need not be told in full. */
const maxReasonLength = 300;

/** The request's body as `schema` has it. Rejects when the caller leaves. */
export async function readBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<Result<T, AdminFailure>> {
  const bytes = await readAtMost(request, maxRequestBytes);
  if (bytes === undefined) {
    return fail({ kind: 'too-large', reason: `the body of a request may have ${maxRequestBytes} bytes at most` });
  }
  try {
    return checked(JSON.parse(bytes.toString()), schema);
  } catch {
    return fail({ kind: 'malformed', reason: 'the body of the request is not JSON' });
  }
}

export function checked<T>(value: unknown, schema: z.ZodType<T>): Result<T, AdminFailure> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const problems = parsed.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '));
  return fail({
    kind: 'malformed',
    reason: `the request is not valid: ${problems.join('; ').slice(0, maxReasonLength)}`,
  });
}

/** Undefined for one byte more. */
async function readAtMost(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  // The connection is kept: what is wrong is to be answered.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > maxBytes) return undefined;
  }
  return Buffer.concat(chunks);
}
