import Database from 'better-sqlite3';

/** True for SQLite's two words for a file whose content is not what SQLite wrote; false for one that cannot be read or written. */
export function isDamage(error: unknown): error is InstanceType<typeof Database.SqliteError> {
  return error instanceof Database.SqliteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code);
}

/** Tells once of damage that shows while the file is in use. */
export class DamageWatch {
  #tell: ((error: Error) => void) | undefined;

  constructor(tell: (error: Error) => void) {
    this.#tell = tell;
  }

  note(error: unknown): void {
    if (!isDamage(error)) return;
    const tell = this.#tell;
    this.#tell = undefined;
    tell?.(error);
  }

  /** Prepares statements whose errors are noted, and thrown all the same. */
  over(db: Database.Database): Pick<Database.Database, 'prepare'> {
    const prepare = (source: string): Database.Statement => {
      const statement = db.prepare(source);
      for (const name of ['run', 'get', 'all'] as const) {
        const run: (...parameters: unknown[]) => unknown = statement[name].bind(statement);
        Object.defineProperty(statement, name, { value: (...parameters: unknown[]) => this.#noting(run, parameters) });
      }
      return statement;
    };
    return { prepare } as Pick<Database.Database, 'prepare'>;
  }

  #noting<T>(run: (...parameters: unknown[]) => T, parameters: unknown[]): T {
    try {
      return run(...parameters);
    } catch (error) {
      this.note(error);
      throw error;
    }
  }
}
