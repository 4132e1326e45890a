import { z } from 'zod';
import type { Answer } from './exchange.ts';
import type { Limits } from './limits.ts';

/** distribution-spec "Error Codes"; Docker Hub's token endpoint writes `details`. */
const errorBody = z.object({
  errors: z
    .array(z.object({ message: z.string().optional(), code: z.string().optional() }))
    .min(1)
    .optional(),
  details: z.string().optional(),
  message: z.string().optional(),
});

/** What an upstream says of an error in its own words, fit for a log line and a client's screen. Ends the answer's body. */
export async function messageOf({ body }: Answer, limits: Limits): Promise<string> {
  const bytes = await body.readSome({ bytes: limits.maxErrorBodyBytes, milliseconds: limits.errorBodyMs });
  const text = new TextDecoder().decode(bytes).trim();
  if (text.startsWith('<')) return '';
  return clean(fromJson(text) ?? text, limits.maxMessageLength);
}

/** `: message`, to be put behind what happened; nothing for no message. */
export function colon(message: string): string {
  return message === '' ? '' : `: ${message}`;
}

function fromJson(text: string): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = errorBody.safeParse(json);
  if (!parsed.success) return '';
  const { errors, details, message } = parsed.data;
  const first = errors?.[0];
  return first?.message ?? first?.code ?? details ?? message ?? '';
}

/** Control, formatting and other invisible characters (Unicode category C) would let an upstream write into logs and terminals. */
export function clean(text: string, maxLength: number): string {
  return text
    .slice(0, 4 * maxLength)
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, maxLength);
}
