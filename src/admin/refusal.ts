import { NoRoom } from '../mirror/ports.ts';
import { Refused } from './operations.ts';

/** One sentence for what cannot be done, and is no bug; undefined for anything else. */
export function refusalOf(error: unknown): string | undefined {
  if (error instanceof Refused) return error.message;
  return error instanceof NoRoom
    ? 'the disk is full, and nothing can be written down: free some space first'
    : undefined;
}
