import type { UpstreamFailure } from '../mirror/failure.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Conversation } from './endpoints.ts';
import type { Answer } from './exchange.ts';

interface ReadWhole {
  readonly what: string;
  readonly bytes: number;
  readonly milliseconds: number;
}

/** A body that has to fit into memory, as it is: we asked for no encoding, and digests are of the bytes themselves. */
export async function readWhole(
  conversation: Conversation,
  answer: Answer,
  bound: ReadWhole,
): Promise<Result<Uint8Array, UpstreamFailure>> {
  conversation.bound.untimed();
  if (isEncoded(answer)) {
    answer.body.destroy();
    return conversation.wrong(`sent ${bound.what} in an encoding nobody asked for`);
  }
  try {
    const bytes = await answer.body.read(bound);
    return bytes === undefined ? conversation.wrong(`sent ${bound.what} of more than ${bound.bytes} bytes`) : ok(bytes);
  } catch {
    return fail({
      kind: 'unavailable',
      reason: `${conversation.origin} broke off ${bound.what}`,
      retryAfterSeconds: 1,
    });
  }
}

export function contentLength(answer: Answer): number | undefined {
  const text = answer.header('content-length') ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function isEncoded(answer: Answer): boolean {
  const encoding = answer.header('content-encoding')?.trim().toLowerCase() ?? '';
  return encoding !== '' && encoding !== 'identity';
}
