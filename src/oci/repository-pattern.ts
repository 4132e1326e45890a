import { fail, ok, type Result } from './result.ts';

/** Says of which repository names something holds, such as `local/**`. Only {@link parsePattern} makes one. */
export interface RepositoryPattern {
  /** As the operator wrote it. */
  readonly text: string;
  matches(name: string): boolean;
}

/** A repository pattern, or `repository:tag` with a pattern on either side. Only {@link parseTagPattern} makes one. */
export interface TagPattern {
  readonly text: string;
  matches(name: string, tag: string): boolean;
}

export interface BadPattern {
  readonly reason: string;
}

/** No name is longer, so no useful pattern is much longer. */
const maxPatternLength = 256;

/**
 * `*` stands for any run of characters within a segment. `**` as a whole segment stands for any number of segments, and for
 * at least one as the last: `local/**` is what lies below `local`, not `local` itself.
 */
export function parsePattern(text: string): Result<RepositoryPattern, BadPattern> {
  return parseGlob(text, text);
}

/** Of canonical names: like {@link parsePattern}, but the first segment can be a registry with a port. */
export function parseCanonicalPattern(text: string): Result<RepositoryPattern, BadPattern> {
  return parseGlob(text, text.replace(/^(?:[a-z0-9.*-]+|\[[0-9a-f:]+\]):\d{1,5}(?=\/)/, 'registry'));
}

/** @param checked the pattern without a part whose syntax needs no look */
function parseGlob(text: string, checked: string): Result<RepositoryPattern, BadPattern> {
  if (text.length > maxPatternLength) return fail({ reason: `a pattern has at most ${maxPatternLength} characters` });
  const segments = text.split('/');
  if (segments.includes('')) return fail({ reason: 'a pattern has text before, between and after its slashes' });
  if (segments.some((segment) => segment !== '**' && segment.includes('**'))) {
    return fail({ reason: '** stands alone between slashes' });
  }
  if (!/^[a-z0-9._*/-]+$/.test(checked)) {
    return fail({ reason: 'a repository name has only lower-case letters, digits and . _ - /' });
  }
  const steps = segments.at(-1) === '**' ? [...segments.slice(0, -1), '*', '**'] : segments;
  return ok({ text, matches: (name) => matchesGlob(steps, name.split('/'), '**', matchesSegment) });
}

export function parseTagPattern(text: string): Result<TagPattern, BadPattern> {
  const colon = text.indexOf(':');
  const repository = parsePattern(colon < 0 ? text : text.slice(0, colon));
  if (!repository.ok) return repository;
  if (colon < 0) return ok({ text, matches: (name) => repository.value.matches(name) });

  const named = parseTagName(text.slice(colon + 1));
  if (!named.ok) return named;
  return ok({ text, matches: (name, tag) => repository.value.matches(name) && named.value.matches(tag) });
}

/** A tag, or a pattern of tags. Only {@link parseTagName} makes one. */
export interface TagName {
  readonly text: string;
  matches(tag: string): boolean;
}

export function parseTagName(text: string): Result<TagName, BadPattern> {
  if (!/^[\w.*-]{1,128}$/.test(text)) return fail({ reason: 'a tag has 1 to 128 letters, digits and . _ -' });
  return ok({ text, matches: (tag) => matchesSegment(text, tag) });
}

function matchesSegment(pattern: string, segment: string): boolean {
  return matchesGlob(pattern, segment, '*', (step, character) => step === character);
}

/**
 * Greedy, with one place to fall back to. The last star is enough: what an earlier star could take instead, the last one
 * can take too. So the work is at most steps × items, whatever the pattern.
 */
function matchesGlob(
  steps: ArrayLike<string>,
  items: ArrayLike<string>,
  star: string,
  matchesOne: (step: string, item: string) => boolean,
): boolean {
  let step = 0;
  let item = 0;
  let lastStar: number | undefined;
  let starEnd = 0;
  while (item < items.length) {
    const wanted = steps[step];
    if (wanted === star) {
      lastStar = step++;
      starEnd = item;
    } else if (wanted !== undefined && matchesOne(wanted, items[item] ?? '')) {
      step++;
      item++;
    } else if (lastStar !== undefined) {
      step = lastStar + 1;
      item = ++starEnd;
    } else {
      return false;
    }
  }
  while (steps[step] === star) step++;
  return step === steps.length;
}
