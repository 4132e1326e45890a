import type { UpstreamFailure } from '../mirror/failure.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Answer, Exchange, Request } from './exchange.ts';
import type { Limits } from './limits.ts';

const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const refusals: ReadonlySet<number> = new Set([401, 403, 404]);

/**
 * Follows redirects without ever remembering one: a signed URL is good once. `Authorization` stays with the origin it was
 * meant for (distribution-spec "Pulling blobs"; object stores also refuse requests that carry it).
 */
export function redirects({ maxRedirects, maxErrorBodyBytes, errorBodyMs }: Limits): (next: Exchange) => Exchange {
  return (next) => async (request) => {
    const seen = new Set<string>();
    let step = request;
    for (;;) {
      const elsewhere = step.url.origin !== request.url.origin;
      const answer = await next(step);
      if (!answer.ok) return answer.failure.kind === 'no-answer' ? fail({ ...answer.failure, elsewhere }) : answer;
      const { status, body } = answer.value;
      if (elsewhere && refusals.has(status)) {
        await body.discard({ bytes: maxErrorBodyBytes, milliseconds: errorBodyMs });
        return fail(refusedElsewhere(step.url, status));
      }
      if (!redirectStatuses.has(status)) return answer;
      await body.discard({ bytes: maxErrorBodyBytes, milliseconds: errorBodyMs });
      seen.add(step.url.href);
      const target = targetOf(answer.value, step.url);
      if (!target.ok) return target;
      if (seen.has(target.value.href)) return wrong(`${request.url.origin} redirects in a circle`);
      if (seen.size > maxRedirects) return wrong(`${request.url.origin} redirects more than ${maxRedirects} times`);
      step = redirected(step, target.value);
    }
  };
}

function redirected(request: Request, url: URL): Request {
  if (url.origin === request.url.origin) return { ...request, url };
  const headers = Object.entries(request.headers).filter(([name]) => name !== 'authorization');
  return { ...request, url, headers: Object.fromEntries(headers) };
}

function targetOf(answer: Answer, from: URL): Result<URL, UpstreamFailure> {
  const location = answer.header('location');
  if (location === undefined || !URL.canParse(location, from.href)) {
    return wrong(`${from.origin} redirects (${answer.status}) without a valid Location`);
  }
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return wrong(`${from.origin} redirects to ${url.protocol}`);
  if (url.protocol === 'http:' && from.protocol === 'https:') {
    return wrong(`${from.origin} redirects from https to http (${url.host})`);
  }
  if (url.username !== '' || url.password !== '')
    return wrong(`${from.origin} redirects to a URL with a password in it`);
  url.hash = '';
  return ok(url);
}

/** Not the registry's verdict: most often a signed URL that has expired, and a new ask gets a new one. */
function refusedElsewhere(url: URL, status: number): UpstreamFailure {
  const reason = `${url.origin}, to which the registry redirects, answered ${status}`;
  return { kind: 'unavailable', reason, retryAfterSeconds: 1, status };
}

function wrong(reason: string): Result<never, UpstreamFailure> {
  return fail({ kind: 'wrong-answer', reason });
}
