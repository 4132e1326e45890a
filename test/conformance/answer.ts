import { expect } from 'vitest';
import { z } from 'zod';

/** distribution-spec "Error Codes"; `detail` may be anything. */
const errorBody = z.object({
  errors: z.array(z.object({ code: z.string().regex(/^[A-Z_]+$/), message: z.string().optional() })).min(1),
});

interface Parts {
  readonly method: string;
  /** What was asked for, as it went over the wire. */
  readonly url: string;
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** One answer of a registry, and what may be asserted of any answer. */
export class Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.status = parts.status;
    this.body = parts.body;
  }

  /** Asserts the status. */
  is(...statuses: readonly number[]): this {
    expect(statuses, `the status of ${this.#parts.method} ${this.#parts.url}`).toContain(this.status);
    return this;
  }

  /** Asserts the status, the JSON shape of an OCI error, and one of these codes where any is given. */
  isError(statuses: number | readonly number[], ...codes: readonly string[]): this {
    this.is(...[statuses].flat());
    expect(this.header('content-type')).toMatch(/^application\/json(;|$)/);
    const { errors } = this.parsed(errorBody);
    if (codes.length > 0) expect(codes).toContain(errors[0]?.code);
    return this;
  }

  /** Asserts that the header is there. */
  header(name: string): string {
    const value = this.maybe(name);
    expect(value, `the ${name} header`).toBeDefined();
    return value ?? '';
  }

  maybe(name: string): string | undefined {
    const value = this.#parts.headers[name.toLowerCase()];
    return typeof value === 'string' ? value : value?.join(', ');
  }

  parsed<T>(schema: z.ZodType<T>): T {
    const result = schema.safeParse(jsonOf(this.body));
    expect(result.error?.issues, 'what is wrong with the body').toBeUndefined();
    // `parse` throws where the assertion above has thrown already.
    return result.success ? result.data : schema.parse(undefined);
  }

  /** Where `Location` points to, as path and query: relative or absolute, resolved by RFC 3986 section 5. */
  location(): string {
    return this.#resolved(this.header('location'));
  }

  /** The target of `Link: <…>; rel="next"`, if there is one. */
  next(): string | undefined {
    const link = this.maybe('link');
    if (link === undefined) return undefined;
    const target = /^<([^>]+)>\s*;\s*rel="?next"?$/.exec(link)?.[1];
    expect(target, `the target of Link: ${link}`).toBeDefined();
    return this.#resolved(target ?? '');
  }

  /** Short enough to read in a failed test. */
  get summary(): string {
    const headers = Object.entries(this.#parts.headers).map(([name, value]) => `    ${name}: ${String(value)}`);
    const shown = this.body.subarray(0, maxShownBytes).toString('latin1');
    return [`  -> ${this.status}`, ...headers, ...(shown === '' ? [] : [`    ${JSON.stringify(shown)}`])].join('\n');
  }

  #resolved(reference: string): string {
    const asked = new URL(this.#parts.url);
    const { origin, pathname, search } = new URL(reference, asked);
    expect(origin, `the place that ${reference} is at`).toBe(asked.origin);
    return pathname + search;
  }
}

const maxShownBytes = 400;

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
