/**
 * Events as `registry:2` sends them: https://distribution.github.io/distribution/about/notifications. Each is one line in the
 * queue, and the same text within the envelope.
 */
import { z } from 'zod';
import type { RegistryEvent } from '../oci/registry-event.ts';

export const envelopeType = 'application/vnd.docker.distribution.events.v1+json';

interface Origin {
  /** The same at every attempt, so that a receiver can tell a repetition. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly source: { readonly addr: string; readonly instanceID: string };
  readonly maxTextLength: number;
}

/** One line, without its end. `size` stands there twice: `length` is its older name. */
export function recordOf(event: RegistryEvent, { id, now, source, maxTextLength }: Origin): string {
  const { action, repository, digest, mediaType, size, tag, url, request, actor } = event;
  const cut = (text: string) => text.slice(0, maxTextLength);
  return JSON.stringify({
    id,
    timestamp: new Date(now).toISOString(),
    action,
    target: {
      ...(mediaType !== undefined && { mediaType: cut(mediaType) }),
      ...(size !== undefined && { size }),
      ...(digest !== undefined && { digest }),
      ...(size !== undefined && { length: size }),
      repository,
      ...(url !== undefined && { url: cut(url) }),
      ...(tag !== undefined && { tag }),
    },
    request: {
      id: cut(request.id),
      addr: cut(request.address),
      host: cut(request.host),
      method: cut(request.method),
      useragent: cut(request.userAgent),
    },
    actor: actor === undefined ? {} : { name: cut(actor) },
    source,
  });
}

export function envelopeOf(records: readonly string[]): string {
  return `{"events":[${records.join(',')}]}`;
}

/** As much of a line as the queue needs to know. */
const lineSchema = z.looseObject({
  id: z.string().min(1),
  timestamp: z.iso.datetime().transform((text) => Date.parse(text)),
  action: z.enum(['push', 'pull', 'delete']),
  target: z.looseObject({ repository: z.string() }),
});

/** Undefined for a damaged line. */
export function parseRecord(line: string): { readonly isPull: boolean; readonly at: number } | undefined {
  const parsed = lineSchema.safeParse(jsonOf(line));
  return parsed.success ? { isPull: parsed.data.action === 'pull', at: parsed.data.timestamp } : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
