import { LRUCache } from 'lru-cache';
import type { UpstreamFailure } from '../mirror/failure.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { type Challenge, chooseChallenge, isSameChallenge } from './challenge.ts';
import type { Answer, Exchange, RegistryRequest } from './exchange.ts';
import { type Pass, PassDesk, type PassDeskOptions } from './pass.ts';

/** Without a pass, with the token at hand, with a fresh one. */
const maxTries = 3;
/** ECR answers 400 to an expired token (aws/containers-roadmap#2835). */
const refusalsOfAgedTokens: ReadonlySet<number> = new Set([400, 401, 403]);

/** Answers challenges, and remembers them, so that the next request for the repository brings its token along. */
export function auth(options: PassDeskOptions): (next: Exchange) => Exchange<RegistryRequest> {
  const { limits } = options;
  const desk = new PassDesk(options);
  const challenges = new LRUCache<string, Challenge>({ max: limits.maxChallenges });
  return (next) => async (request) => {
    let challenge = challenges.get(request.name);
    let pass: Pass | undefined;
    for (let tries = 1; ; tries++) {
      if (challenge !== undefined && desk.canAnswer(challenge, request)) {
        const issued = await desk.issue(challenge, request, pass?.agedToken);
        if (!issued.ok) {
          // A registry may have moved its token endpoint: the next ask hears its challenge anew.
          if (issued.failure.kind !== 'rate-limited') challenges.delete(request.name);
          return issued;
        }
        pass = issued.value;
      }
      const outcome = await next(withPass(request, pass));
      if (!outcome.ok) return outcome;
      challenge = tries < maxTries ? nextChallenge(outcome.value, pass) : undefined;
      if (challenge === undefined || !desk.canAnswer(challenge, request)) return settle(outcome.value, pass, options);
      challenges.set(request.name, challenge);
      await outcome.value.body.discard({ bytes: limits.maxErrorBodyBytes, milliseconds: limits.errorBodyMs });
    }
  };
}

/** The challenge that is worth answering after this answer. */
function nextChallenge(answer: Answer, pass: Pass | undefined): Challenge | undefined {
  const challenge = chooseChallenge(answer.headers('www-authenticate'));
  if (pass?.agedToken !== undefined && refusalsOfAgedTokens.has(answer.status)) return challenge ?? pass.challenge;
  if (answer.status !== 401 || challenge === undefined) return undefined;
  const isAnswered = pass !== undefined && isSameChallenge(pass.challenge, challenge);
  return isAnswered ? undefined : challenge;
}

function withPass(request: RegistryRequest, pass: Pass | undefined): RegistryRequest {
  if (pass === undefined) return request;
  return { ...request, headers: { ...request.headers, authorization: pass.authorization } };
}

/** A wrong password is our trouble: the registry has not even looked at what was asked. */
function settle(
  answer: Answer,
  pass: Pass | undefined,
  { endpoint, limits }: PassDeskOptions,
): Result<Answer, UpstreamFailure> {
  if (answer.status === 401 && pass?.challenge.scheme === 'basic') {
    answer.body.destroy();
    const reason = `${endpoint.origin} refused the configured account (401)`;
    return fail({ kind: 'unavailable', reason, retryAfterSeconds: limits.unavailableSeconds });
  }
  return ok({ ...answer, withCredentials: pass?.withCredentials ?? false });
}
