import type { UpstreamFailure } from '../mirror/failure.ts';
import type { UpstreamHead, UpstreamManifest } from '../mirror/ports.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { maxManifestBytes } from '../oci/manifest.ts';
import { acceptedManifests, bareMediaType } from '../oci/media-type.ts';
import type { Reference } from '../oci/reference.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Conversation } from './endpoints.ts';
import type { Answer } from './exchange.ts';
import type { Limits } from './limits.ts';
import { contentLength, readWhole } from './whole.ts';

const headers = { accept: acceptedManifests };
const headNotSupported: ReadonlySet<number> = new Set([405, 501]);

export async function headManifest(
  conversation: Conversation,
  reference: Reference,
  limits: Limits,
): Promise<Result<UpstreamHead, UpstreamFailure>> {
  const answer = await conversation.send({ kind: 'manifest', method: 'HEAD', path: pathOf(reference), headers });
  if (!answer.ok) return answer;
  const { status, body } = answer.value;
  if (headNotSupported.has(status)) {
    body.destroy();
    const manifest = await getManifest(conversation, reference, limits);
    if (!manifest.ok) return manifest;
    const { mediaType, digest, size, withCredentials } = manifest.value;
    return ok({ mediaType, digest, size, withCredentials });
  }
  if (status < 200 || status > 299) return fail(await conversation.failureOf(answer.value));
  await body.discard({ bytes: 0, milliseconds: limits.errorBodyMs });
  return ok(headOf(answer.value));
}

export async function getManifest(
  conversation: Conversation,
  reference: Reference,
  limits: Limits,
): Promise<Result<UpstreamManifest, UpstreamFailure>> {
  const answer = await conversation.ask({ kind: 'manifest', method: 'GET', path: pathOf(reference), headers });
  if (!answer.ok) return answer;
  const bytes = await readWhole(conversation, answer.value, {
    what: 'a manifest',
    bytes: maxManifestBytes,
    milliseconds: limits.bodyReadMs,
  });
  if (!bytes.ok) return bytes;
  return ok({ ...headOf(answer.value), size: bytes.value.length, bytes: bytes.value });
}

export function headOf(answer: Answer): UpstreamHead {
  return {
    mediaType: bareMediaType(answer.header('content-type') ?? ''),
    digest: digestOf(answer),
    size: contentLength(answer),
    withCredentials: answer.withCredentials,
  };
}

function digestOf(answer: Answer): Digest | undefined {
  const digest = parseDigest(answer.header('docker-content-digest') ?? '');
  return digest.ok ? digest.value : undefined;
}

function pathOf(reference: Reference): string {
  return `manifests/${reference.kind === 'tag' ? reference.tag : reference.digest}`;
}
