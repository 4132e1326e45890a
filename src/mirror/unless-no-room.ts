import { NoRoom } from './ports.ts';

/** For what is only worth remembering: on a full disk it is asked again the next time, and nobody's pull fails for it. */
export async function unlessNoRoom(writing: Promise<unknown>): Promise<void> {
  try {
    await writing;
  } catch (error) {
    if (!(error instanceof NoRoom)) throw error;
  }
}
