/** Whoever read standard output is gone, as with `entrepot ls | head`: no reason to go on, and none to complain. */
export class ReaderLeft extends Error {
  override readonly name = 'ReaderLeft';
}

/**
 * Resolves when the text is on its way, so that nothing piles up before a slow reader. How long that may take is the reader's
 * affair: it may be a person before a pager.
 *
 * @throws {ReaderLeft}
 */
export function write(stream: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (error) reject(new ReaderLeft('nobody reads any more', { cause: error }));
      else resolve();
    });
  });
}
