/** The service cannot start for a reason that the operator can mend; the message is one clear sentence. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
