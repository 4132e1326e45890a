import { setTimeout as sleep } from 'node:timers/promises';

export const systemClock = {
  now: (): number => Date.now(),
  sleep: async (milliseconds: number, signal?: AbortSignal): Promise<void> => {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  },
};
