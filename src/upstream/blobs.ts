import type { UpstreamFailure } from '../mirror/failure.ts';
import type { UpstreamBlob, UpstreamHead } from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { parseContentRange, unsatisfiedSize } from './content-range.ts';
import type { Conversation, Surroundings } from './endpoints.ts';
import type { Answer } from './exchange.ts';
import { headOf } from './manifests.ts';
import { contentLength, isEncoded } from './whole.ts';

export interface AskedRange {
  readonly first: number;
  readonly last?: number;
}

/**
 * Where a refusal means that HEAD is not wanted rather than the blob: ECR Public (distribution#4383), and object stores
 * behind a URL that was signed for GET.
 */
const headRefusals: ReadonlySet<number> = new Set([401, 403, 405, 501]);

export async function headBlob(
  conversation: Conversation,
  digest: Digest,
  { limits }: Surroundings,
): Promise<Result<UpstreamHead, UpstreamFailure>> {
  const answer = await conversation.send({ kind: 'blob', method: 'HEAD', path: `blobs/${digest}` });
  const status = answer.ok ? answer.value.status : refusedElsewhere(answer.failure);
  if (status !== undefined && headRefusals.has(status)) {
    if (answer.ok) answer.value.body.destroy();
    return probeBlob(conversation, digest);
  }
  if (!answer.ok) return answer;
  if (answer.value.status < 200 || answer.value.status > 299) return fail(await conversation.failureOf(answer.value));
  await answer.value.body.discard({ bytes: 0, milliseconds: limits.errorBodyMs });
  return ok(headOf(answer.value));
}

/** What a HEAD would have said, by asking for the first byte. */
async function probeBlob(conversation: Conversation, digest: Digest): Promise<Result<UpstreamHead, UpstreamFailure>> {
  const headers = { range: 'bytes=0-0' };
  const answer = await conversation.send({ kind: 'blob', method: 'GET', path: `blobs/${digest}`, headers });
  if (!answer.ok) return answer;
  const { status, body } = answer.value;
  const range = answer.value.header('content-range');
  if (status === 416 && unsatisfiedSize(range) === 0) {
    body.destroy();
    return ok({ ...headOf(answer.value), size: 0 });
  }
  if (status < 200 || status > 299) return fail(await conversation.failureOf(answer.value));
  body.destroy();
  const head = headOf(answer.value);
  return ok(status === 206 ? { ...head, size: parseContentRange(range)?.size } : head);
}

export async function getBlob(
  conversation: Conversation,
  digest: Digest,
  asked: AskedRange,
  { onBytes }: Surroundings,
): Promise<Result<UpstreamBlob, UpstreamFailure>> {
  const isWhole = asked.first === 0 && asked.last === undefined;
  const headers = isWhole ? {} : { range: `bytes=${asked.first}-${asked.last ?? ''}` };
  const answer = await conversation.ask({ kind: 'blob', method: 'GET', path: `blobs/${digest}`, headers });
  if (!answer.ok) return answer;
  const place = placeOf(answer.value, asked);
  if (typeof place === 'string') {
    answer.value.body.destroy();
    return conversation.wrong(place);
  }
  const { bound } = conversation;
  bound.keep();
  const body = answer.value.body.stream(onBytes, () => bound[Symbol.dispose]());
  return ok({ ...place, withCredentials: answer.value.withCredentials, body });
}

/** Where in the blob the body lies, or what is wrong with it. */
function placeOf(answer: Answer, asked: AskedRange): Pick<UpstreamBlob, 'start' | 'size'> | string {
  if (isEncoded(answer)) return 'sent a blob in an encoding nobody asked for';
  if (answer.status === 200) return { start: 0, size: contentLength(answer) };
  if (answer.status !== 206) return `answered ${answer.status} to a request for a blob`;
  const range = parseContentRange(answer.header('content-range'));
  if (range === undefined) return 'sent a part of a blob without a valid Content-Range';
  const isAsked = range.first === asked.first && range.last <= (asked.last ?? range.last);
  if (!isAsked)
    return `sent bytes ${range.first}-${range.last} of a blob when asked for ${asked.first}-${asked.last ?? ''}`;
  const length = contentLength(answer);
  if (length !== undefined && length !== range.last - range.first + 1)
    return 'sent a part whose length is not its range';
  return { start: range.first, size: range.size };
}

function refusedElsewhere(failure: UpstreamFailure): number | undefined {
  return failure.kind === 'unavailable' ? failure.status : undefined;
}
