import { expect } from 'vitest';
import { type Area, check } from './check.ts';

export const base: Area = {
  title: 'base',
  checks: [
    check('GET /v2/ is 200, which says that the API is here', async ({ ask }) => {
      (await ask('GET', '/v2/')).is(200);
    }),
    check('engines of old find the API version in a header', async ({ ask }) => {
      expect((await ask('GET', '/v2/')).header('docker-distribution-api-version')).toBe('registry/2.0');
    }),
  ],
};
