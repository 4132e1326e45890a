const maxQuotedLength = 60;

/** Something wrong with the setting at `path`. The message is a predicate: "must be …". */
export interface Finding {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

export interface ConfigProblem {
  /** The file, or the environment variable, in which it is to be mended. */
  readonly source: string;
  /** Of the setting, as {@link pathText} writes it; empty for the source as a whole. */
  readonly path: string;
  readonly message: string;
}

export type ConfigProblems = readonly ConfigProblem[];

/** One line that says where, what is wrong and what is allowed. */
export function problemText({ source, path, message }: ConfigProblem): string {
  return path === '' ? `${source}: ${message}` : `${source}: ${path} ${message}`;
}

/** As in JavaScript: `upstreams["docker.io"].endpoints[0]`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.map(stepText).join('').replace(/^\./, '');
}

function stepText(key: PropertyKey): string {
  if (typeof key === 'number') return `[${key}]`;
  return /^[A-Za-z_$][\w$]*$/.test(String(key)) ? `.${String(key)}` : `[${JSON.stringify(String(key))}]`;
}

/** A value within a message: on one line, and not without end. */
export function quoted(value: string | number | boolean): string {
  const text = JSON.stringify(value);
  return text.length > maxQuotedLength ? `${text.slice(0, maxQuotedLength)}…` : text;
}
