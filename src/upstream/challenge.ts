/** What a registry asks for in a 401. */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

interface RawChallenge {
  readonly scheme: string;
  readonly parameters: Map<string, string>;
}

const parameter = /[ \t,]*([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
const scheme = /[ \t,]*([\w!#$%&'*+.^`|~-]+)/y;

/** The challenge we can answer best: Bearer before Basic. Undefined where there is none that we know. */
export function chooseChallenge(headers: readonly string[]): Challenge | undefined {
  const challenges = headers.flatMap(parseChallenges);
  for (const { scheme, parameters } of challenges) {
    const realm = parameters.get('realm');
    if (scheme === 'bearer' && realm !== undefined) {
      return { scheme, realm, service: parameters.get('service'), scope: parameters.get('scope') || undefined };
    }
  }
  return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

/**
 * RFC 9110, 11.6.1: challenges are separated by commas, and so are their parameters; a word that is not followed by `=`
 * is a scheme. A token68 is taken for a scheme or parameter nobody knows. Reading stops at what is neither.
 */
function parseChallenges(header: string): RawChallenge[] {
  const challenges: RawChallenge[] = [];
  for (let at = 0; at < header.length; ) {
    parameter.lastIndex = scheme.lastIndex = at;
    const found = parameter.exec(header);
    if (found !== null) {
      const [, name = '', quoted, plain = ''] = found;
      const { parameters } = challenges.at(-1) ?? { parameters: new Map<string, string>() };
      const key = name.toLowerCase();
      if (!parameters.has(key)) parameters.set(key, quoted?.replace(/\\(.)/g, '$1') ?? plain);
      at = parameter.lastIndex;
      continue;
    }
    const begun = scheme.exec(header);
    if (begun === null) break;
    challenges.push({ scheme: (begun[1] ?? '').toLowerCase(), parameters: new Map() });
    at = scheme.lastIndex;
  }
  return challenges;
}

export function isSameChallenge(a: Challenge, b: Challenge): boolean {
  if (a.scheme === 'basic' || b.scheme === 'basic') return a.scheme === b.scheme;
  return a.realm === b.realm && a.service === b.service && a.scope === b.scope;
}
