import { officialPrefix, type RoutingTable, registryInFront, route } from './route.ts';
import type { SearchTerm } from './search-term.ts';

/** What an upstream's own search may be asked. */
export interface UpstreamQuery {
  readonly registry: string;
  readonly text: string;
  /** What the asker wrote of it; `text` is a part of that. */
  readonly term: string;
  /** True if sending it would tell of this name: one of them is a part of the other. */
  tellsOf(name: string): boolean;
}

/**
 * Promise 8 for searches: what of the term may be sent, and to which registry; undefined for nothing. A term goes nowhere but
 * where a pull of it would go, and not when that is this server, or when it resembles the fixed parts of a private pattern.
 * Whether it tells of a name that is hosted here is for the caller to find out.
 */
export function upstreamQuery(term: SearchTerm, table: RoutingTable): UpstreamQuery | undefined {
  const named = registryInFront(term, table);
  const registry = named?.registry ?? table.defaultRegistry;
  const rest = named?.rest ?? term;
  // Like the engine itself (moby, daemon/pkg/registry/search.go): its index does not know the official images' namespace.
  const text = rest.startsWith(officialPrefix) ? rest.slice(officialPrefix.length) : rest;
  if (registry === undefined || text === '' || rest.split(/\s+/).some(isElsewhere)) return undefined;

  const tellsOf = (name: string): boolean => name.includes(text) || hasWords(rest, name);
  const fixed = table.privatePatterns.flatMap((pattern) => trimmed(pattern.text.split(/\*+/)));
  const words = trimmed(term.split(/[^a-z0-9._/-]+/));
  if (fixed.some(tellsOf) || words.some((word) => isPrivate(word, table))) return undefined;
  return { registry, text, term: rest, tellsOf };
}

/** Has a host in front, told as clients tell it: what another registry holds is nobody else's business. */
function isElsewhere(word: string): boolean {
  const [first = '', ...others] = word.split('/');
  return others.length > 0 && (first === 'localhost' || /[.:]/.test(first));
}

/** Without separators at either end, and without those of which nothing is left. */
function trimmed(texts: readonly string[]): readonly string[] {
  return texts.map((text) => text.replace(/^[._/-]+|[._/-]+$/g, '')).filter((text) => text !== '');
}

function isPrivate(word: string, table: RoutingTable): boolean {
  const routed = route(word, undefined, table);
  if (routed.ok) return routed.value.kind === 'hosted';
  // Not a name, but perhaps one that is misspelt.
  return table.privatePatterns.some((pattern) => pattern.matches(word));
}

/** Whether the text has it as whole words: `test` is in `test-runner`, not in `testcontainers`. */
function hasWords(text: string, words: string): boolean {
  for (let at = text.indexOf(words); at >= 0; at = text.indexOf(words, at + 1)) {
    if (isEdge(text[at - 1]) && isEdge(text[at + words.length])) return true;
  }
  return false;
}

function isEdge(character: string | undefined): boolean {
  return character === undefined || !/[a-z0-9]/.test(character);
}
