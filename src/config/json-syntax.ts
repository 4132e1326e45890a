/** Where a text stops being JSON. `JSON.parse` often does not say, and quotes the text around it, passwords included. */
export interface JsonError {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

const blank = /[ \t\r\n]*/y;

/** RFC 8259. Each part of it can match in one way only, so that a long text takes no longer than its length. */
const token =
  /[{}[\]:,]|"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** The states are what the reader is told. */
type Expected =
  | 'a value'
  | 'a value or ]'
  | 'a key in double quotes'
  | 'a key in double quotes or }'
  | 'a colon'
  | 'a comma or }'
  | 'a comma or ]'
  | 'the end of the file';

type Bracket = '{' | '[';

/** Undefined when the text is JSON. */
export function findJsonError(text: string): JsonError | undefined {
  const open: Bracket[] = [];
  let expected: Expected = 'a value';
  let position = 0;
  for (;;) {
    position += matchAt(blank, text, position).length;
    if (position === text.length && expected === 'the end of the file') return undefined;
    const found = matchAt(token, text, position);
    const next: Expected | undefined = follow(expected, found, open);
    if (next === undefined) {
      return { ...lineAndColumn(text, position), reason: `expected ${expected}, not ${shown(text, position)}` };
    }
    position += found.length;
    expected = next;
  }
}

/** What is expected after the token; undefined when it may not stand here. Keeps track of the open brackets. */
function follow(expected: Expected, found: string, open: Bracket[]): Expected | undefined {
  if ((found === '}' || found === ']') && expected.endsWith(`or ${found}`)) {
    open.pop();
    return afterValue(open);
  }
  switch (expected) {
    case 'a value':
    case 'a value or ]':
      if (found === '{' || found === '[') {
        open.push(found);
        return found === '{' ? 'a key in double quotes or }' : 'a value or ]';
      }
      return /^[^}\],:]/.test(found) ? afterValue(open) : undefined;
    case 'a key in double quotes':
    case 'a key in double quotes or }':
      return found.startsWith('"') ? 'a colon' : undefined;
    case 'a colon':
      return found === ':' ? 'a value' : undefined;
    case 'a comma or }':
      return found === ',' ? 'a key in double quotes' : undefined;
    case 'a comma or ]':
      return found === ',' ? 'a value' : undefined;
    case 'the end of the file':
      return undefined;
  }
}

function afterValue(open: readonly Bracket[]): Expected {
  const innermost = open.at(-1);
  if (innermost === undefined) return 'the end of the file';
  return innermost === '{' ? 'a comma or }' : 'a comma or ]';
}

function shown(text: string, position: number): string {
  const character = text.charAt(position);
  if (character === '') return 'the end of the file';
  if (character === '#' || /^\/[/*]/.test(text.slice(position, position + 2))) return 'a comment (JSON has none)';
  if (character === '"')
    return matchAt(token, text, position) === '' ? 'a text that is damaged or not closed' : 'a text';
  return /[!-~]/.test(character) ? character : 'this character';
}

function lineAndColumn(text: string, position: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, position).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

function matchAt(sticky: RegExp, text: string, position: number): string {
  sticky.lastIndex = position;
  return sticky.exec(text)?.[0] ?? '';
}
