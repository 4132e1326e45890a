/** What is done to a repository. */
export type Action = 'pull' | 'push' | 'delete';

export const everyAction: readonly Action[] = ['pull', 'push', 'delete'];
