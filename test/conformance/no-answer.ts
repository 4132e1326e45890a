/** A registry that closed the connection, wrote what is no HTTP, or was silent for too long. */
export class NoAnswer extends Error {
  constructor(asked: string, cause: unknown) {
    super(`no whole answer to ${asked}: ${String(cause)}`, { cause });
    this.name = 'NoAnswer';
  }
}
