import { expect, test } from 'vitest';
import { fail } from '../../src/oci/result.ts';
import { createLogger } from '../../src/ops/logger.ts';
import { Bounds } from '../../src/upstream/bound.ts';
import type { Request } from '../../src/upstream/exchange.ts';
import { defaultLimits as limits } from '../../src/upstream/limits.ts';
import { PassDesk } from '../../src/upstream/pass.ts';
import { Tokens } from '../../src/upstream/tokens.ts';
import { name } from './support.ts';

const hub = { scheme: 'bearer', realm: 'https://auth.docker.io/token', service: 'registry.docker.io' } as const;

/** The token request that an endpoint's challenge leads to. */
async function tokenRequest(registry: string, endpoint: string, scope: string): Promise<Request | undefined> {
  const sent: Request[] = [];
  const bounds = new Bounds();
  const exchangeFor = () => (request: Request) => {
    sent.push(request);
    return Promise.resolve(fail({ kind: 'unavailable', reason: 'not really asked', retryAfterSeconds: 1 } as const));
  };
  const clock = { now: () => 0, sleep: () => Promise.resolve() };
  const desk = new PassDesk({
    registry,
    endpoint: new URL(endpoint),
    credentials: { username: 'team', password: 'secret' },
    tokens: new Tokens({ exchangeFor, bounds, clock, limits }),
    log: createLogger({ level: 'error', format: 'json' }, process.stderr),
    limits,
  });
  using bound = bounds.start({ milliseconds: 1_000 });
  const request = { kind: 'manifest', method: 'HEAD', url: new URL(endpoint), headers: {}, bound } as const;
  await desk.issue({ ...hub, scope }, { ...request, name: name(), anonymously: false });
  return sent[0];
}

test('Docker Hub is shown the account of docker.io', async () => {
  const request = await tokenRequest('docker.io', 'https://registry-1.docker.io', 'repository:library/alpine:pull');
  expect(request?.url.href).toBe(
    'https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Falpine%3Apull',
  );
  expect(request?.headers['authorization']).toBe(`Basic ${btoa('team:secret')}`);
});

test('an endpoint in front of Docker Hub cannot choose what a token of the account is for', async () => {
  const request = await tokenRequest('docker.io', 'https://accelerator.test', 'repository:team/secret:pull,push');
  expect(request?.headers['authorization']).toBeDefined();
  expect(request?.url.searchParams.getAll('scope')).toEqual(['repository:library/alpine:pull']);
});

test('another registry that names Docker Hub gets no account shown', async () => {
  const request = await tokenRequest('registry.test', 'https://registry.test', 'repository:library/alpine:pull');
  expect(request?.headers['authorization']).toBeUndefined();
});
