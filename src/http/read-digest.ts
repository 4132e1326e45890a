import { type Digest, parseDigest } from '../oci/digest.ts';
import { fail, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import type { BadRequest } from './failure.ts';

/** Of what the log shows of a reference that may be anything. */
const maxLogged = 200;

/** The digest that a request is about; the log shows what it says, whether it is one or not. */
export function readDigest(ctx: Context, text: string | readonly string[] | undefined): Result<Digest, BadRequest> {
  if (typeof text !== 'string') return fail({ kind: 'digest-invalid', reason: 'one digest is needed, as ?digest=' });
  ctx.state.entry.reference = text.slice(0, maxLogged);
  const digest = parseDigest(text);
  return digest.ok ? digest : fail({ kind: 'digest-invalid', reason: digest.failure.reason });
}
