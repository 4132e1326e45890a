import { z } from 'zod';
import type { UpstreamFailure } from '../mirror/failure.ts';
import type { Clock, UpstreamHit } from '../mirror/ports.ts';
import { parseRepositoryName } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Bounds } from './bound.ts';
import { type Answer, type Exchange, urlText } from './exchange.ts';
import type { Limits } from './limits.ts';
import { clean, colon, messageOf } from './message.ts';
import { clampSeconds, retryAfterHeader } from './retry-after.ts';
import { failureOf } from './verdict.ts';
import { isEncoded } from './whole.ts';

/** What Docker Hub's search gives at the most, and so does `docker search --limit`. */
const maxHits = 100;

interface Options {
  readonly url: URL;
  readonly exchange: Exchange;
  readonly bounds: Bounds;
  readonly clock: Clock;
  readonly limits: Limits;
}

// As `docker search` reads it (moby, api/types/registry). One strange entry does not spoil the others.
const searchBody = z.object({ results: z.array(z.unknown()) });
const entry = z.object({
  name: z.string(),
  description: z.string().nullish(),
  star_count: z.int().nonnegative(),
  is_official: z.boolean(),
  is_automated: z.boolean().nullish(),
});

/** The first hundred hits of Docker Hub's search, anonymously; everything together within one bound. */
export async function search(
  query: string,
  { url, exchange, bounds, clock, limits }: Options,
): Promise<Result<readonly UpstreamHit[], UpstreamFailure>> {
  using bound = bounds.start({ milliseconds: limits.searchTimeoutMs });
  const asked = new URL(url);
  asked.searchParams.set('q', query);
  asked.searchParams.set('n', String(maxHits));
  const outcome = await exchange({
    kind: 'search',
    method: 'GET',
    url: asked,
    headers: { accept: 'application/json' },
    bound,
  });
  if (!outcome.ok) return fail(troubleOf(outcome.failure));
  const answer = outcome.value;
  if (answer.status === 429) return fail(await tooMany(answer, url, { clock, limits }));
  if (answer.status !== 200) return fail(await failureOf(answer, { url }, { clock, limits }));
  return await readHits(answer, { url, limits, milliseconds: bound.remainingMs });
}

function troubleOf(trouble: Extract<Awaited<ReturnType<Exchange>>, { ok: false }>['failure']): UpstreamFailure {
  return trouble.kind === 'no-answer' ? { kind: 'unavailable', reason: trouble.reason, retryAfterSeconds: 1 } : trouble;
}

async function tooMany(
  answer: Answer,
  url: URL,
  { clock, limits }: Pick<Options, 'clock' | 'limits'>,
): Promise<UpstreamFailure> {
  const seconds = retryAfterHeader(answer.header('retry-after'), clock.now()) ?? limits.rateLimitedSeconds;
  return {
    kind: 'rate-limited',
    reason: `${url.origin} answered 429${colon(await messageOf(answer, limits))}`,
    retryAfterSeconds: clampSeconds(seconds, limits.maxRateLimitedSeconds),
  };
}

async function readHits(
  answer: Answer,
  { url, limits, milliseconds }: { readonly url: URL; readonly limits: Limits; readonly milliseconds: number },
): Promise<Result<readonly UpstreamHit[], UpstreamFailure>> {
  const wrong = (what: string): Result<never, UpstreamFailure> =>
    fail({ kind: 'wrong-answer', reason: `${urlText(url)} ${what}` });
  if (isEncoded(answer)) {
    answer.body.destroy();
    return wrong('sent hits in an encoding nobody asked for');
  }
  try {
    const bytes = await answer.body.read({ bytes: limits.maxSearchBytes, milliseconds });
    if (bytes === undefined) return wrong(`sent more than ${limits.maxSearchBytes} bytes`);
    const hits = hitsIn(new TextDecoder().decode(bytes), limits);
    return hits === undefined ? wrong('sent what is no list of hits') : ok(hits);
  } catch {
    return fail({ kind: 'unavailable', reason: `${urlText(url)} broke off its answer`, retryAfterSeconds: 1 });
  }
}

function hitsIn(text: string, limits: Limits): readonly UpstreamHit[] | undefined {
  const body = searchBody.safeParse(jsonIn(text));
  if (!body.success) return undefined;
  return body.data.results.slice(0, maxHits).flatMap((result) => {
    const parsed = entry.safeParse(result);
    if (!parsed.success) return [];
    const { name, description, star_count, is_official, is_automated } = parsed.data;
    // Docker Hub writes its official images without the namespace in which they lie.
    const repository = parseRepositoryName(name.includes('/') ? name : `library/${name}`);
    if (!repository.ok) return [];
    return [
      {
        name: repository.value,
        description: clean(description ?? '', limits.maxMessageLength),
        stars: star_count,
        isOfficial: is_official,
        isAutomated: is_automated ?? false,
      },
    ];
  });
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
