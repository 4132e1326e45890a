import { type ByteRange, type RangeRequest, resolveRange } from '../oci/range.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { BlobBody } from './blob-body.ts';
import type { Failure } from './failure.ts';
import type { Provenance } from './provenance.ts';

/** To be disposed by its taker. */
export interface PulledBlob extends AsyncDisposable {
  readonly body: BlobBody;
  /** What of the body to send; undefined for all of it. */
  readonly range: ByteRange | undefined;
  readonly provenance: Provenance;
}

/** What of the body was asked for. The body is let go of when nothing of it was. */
export async function partOf(
  body: BlobBody,
  range: RangeRequest | undefined,
  provenance: Provenance,
): Promise<Result<PulledBlob, Failure>> {
  // Without a size there is no range to speak of: the whole body is the answer (RFC 9110 14.2).
  if (range === undefined || body.size === undefined) return ok(pulledBlob(body, undefined, provenance));
  const part = resolveRange(range, body.size);
  if (part !== undefined) return ok(pulledBlob(body, part, provenance));
  await body[Symbol.asyncDispose]();
  return fail({ kind: 'range-not-satisfiable', size: body.size });
}

export function pulledBlob(body: BlobBody, range: ByteRange | undefined, provenance: Provenance): PulledBlob {
  return { body, range, provenance, [Symbol.asyncDispose]: () => body[Symbol.asyncDispose]() };
}
