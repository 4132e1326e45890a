import { z } from 'zod';
import type { UpstreamFailure } from '../mirror/failure.ts';
import type { UpstreamTags } from '../mirror/ports.ts';
import { ok, type Result } from '../oci/result.ts';
import type { Conversation } from './endpoints.ts';
import type { Limits } from './limits.ts';
import { readWhole } from './whole.ts';

/** distribution-spec "Listing Tags"; Quay pages with `next_page`. */
const pageParameters = ['n', 'last', 'next_page'] as const;

const tagsBody = z.object({ tags: z.array(z.string()).nullable() });

export async function listTags(
  conversation: Conversation,
  query: URLSearchParams,
  limits: Limits,
): Promise<Result<UpstreamTags, UpstreamFailure>> {
  const forwarded = pageOnly(query);
  const path = forwarded.size === 0 ? 'tags/list' : `tags/list?${forwarded.toString()}`;
  const answer = await conversation.ask({ kind: 'tags', method: 'GET', path, headers: { accept: 'application/json' } });
  if (!answer.ok) return answer;
  const bytes = await readWhole(conversation, answer.value, {
    what: 'a list of tags',
    bytes: limits.maxTagsBytes,
    milliseconds: limits.bodyReadMs,
  });
  if (!bytes.ok) return bytes;
  const tags = parseTags(bytes.value);
  if (tags === undefined) return conversation.wrong('sent a list of tags that is none');
  const next = nextPage(answer.value.headers('link'), conversation.origin);
  return ok({ tags, next, withCredentials: answer.value.withCredentials });
}

function parseTags(bytes: Uint8Array): readonly string[] | undefined {
  try {
    return tagsBody.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))).tags ?? [];
  } catch {
    return undefined;
  }
}

/** RFC 8288: `</v2/name/tags/list?n=2&last=b>; rel="next"`. Only the page is taken from it, never the place. */
function nextPage(headers: readonly string[], origin: string): URLSearchParams | undefined {
  for (const [, target = '', parameters = ''] of headers.join(', ').matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*"?(?:[^"]*\s)?next(?:\s[^"]*)?"?/i.test(parameters) || !URL.canParse(target, origin)) continue;
    const page = pageOnly(new URL(target, origin).searchParams);
    if (page.size > 0) return page;
  }
  return undefined;
}

function pageOnly(query: URLSearchParams): URLSearchParams {
  const page = new URLSearchParams();
  for (const name of pageParameters) {
    const value = query.get(name);
    if (value !== null) page.set(name, value);
  }
  return page;
}
