import { expect } from 'vitest';
import { type Area, type Check, check } from './check.ts';
import { unknownDigest } from './documents.ts';

const badNames = ['a/Upper', '-dash', 'a/_b', 'a..b', 'a/.b', 'a___b', 'a.-b', 'a%20b', '%C3%BC', 'a+b'];
/** The names grammar has no length, but 255 with the registry's own name is what Docker and containerd bear. */
const stricterNames = ['UPPER/case', `${'a/'.repeat(200)}a`];
const traversals = ['..%2f..%2fetc', 'a%2f..%2fb', '%2e%2e/b', 'a/../../b', 'a//b', 'a%00', '%2e%2e%2f%2e%2e'];
const badDigests = ['sha256:abc', `sha256:${'g'.repeat(64)}`, `sha256:${'A'.repeat(64)}`, `md5:${'a'.repeat(32)}`];

export const errors: Area = {
  title: 'errors',
  checks: [
    ...[...badNames, ...stricterNames].flatMap(named),
    ...traversals.map((name) =>
      check(`the path ${name} leads nowhere`, async ({ ask }) => {
        for (const path of [`/v2/${name}/tags/list`, `/v2/${name}/manifests/latest`]) {
          (await ask('GET', path)).is(301, 307, 308, 400, 404);
          expect(
            (await ask('POST', `/v2/${name}/blobs/uploads/`)).is(301, 307, 308, 400, 404, 405).body.length,
          ).toBeLessThan(4_096);
        }
      }),
    ),
    ...(
      [
        ['blobs', undefined],
        ['manifests', 'digestErrors'],
      ] as const
    ).flatMap(([kind, needs]) =>
      badDigests.map((digest) =>
        check(
          `${digest.slice(0, 16)} is no digest of ${kind}: 400 DIGEST_INVALID to every method`,
          async (registry) => {
            const repository = registry.repository();
            await registry.image(repository, ['1.0']);
            (await registry.get(repository, `${kind}/${digest}`)).isError(400, 'DIGEST_INVALID');
            (await registry.delete(repository, `${kind}/${digest}`)).isError(400, 'DIGEST_INVALID');
            expect((await registry.head(repository, `${kind}/${digest}`)).is(400).body.length).toBe(0);
          },
          needs,
        ),
      ),
    ),
    ...(
      [
        ['POST', 'tags/list'],
        ['DELETE', 'tags/list'],
        ['POST', 'manifests/1.0'],
        ['PATCH', 'manifests/1.0'],
        ['PUT', `blobs/${unknownDigest()}`],
      ] as const
    ).map(([method, path]) =>
      check(`${method} ${path.slice(0, 16)} is 405, with the methods that are allowed`, async (registry) => {
        const answer = (await registry.ask(method, `/v2/${registry.repository()}/${path}`)).is(405);
        expect(answer.header('allow')).not.toContain(method);
      }),
    ),
    check(
      '405 has an OCI error body',
      async (registry) => {
        (await registry.ask('POST', `/v2/${registry.repository()}/tags/list`)).isError(405, 'UNSUPPORTED');
      },
      'methodErrors',
    ),
    ...(['GET', 'PUT', 'PATCH', 'DELETE'] as const).map((method) =>
      check(`${method} of an upload without a name is 404 or 405`, async (registry) => {
        (await registry.ask(method, `/v2/${registry.repository()}/blobs/uploads/`)).isError([404, 405]);
      }),
    ),
    check('a path that is none is 404', async ({ ask }) => {
      for (const path of ['/v2/x', '/v2/a/b', '/v1/', '/v3/', '/v2/a/manifests/', '/v2/a/nothing/x']) {
        (await ask('GET', path)).is(404, 405, 400);
      }
    }),
  ],
};

function named(name: string): readonly Check[] {
  const shown = name.slice(0, 20);
  const grammar = stricterNames.includes(name) ? 'nameGrammar' : undefined;
  return [
    check(
      `${shown} is no name: nothing under it, and nothing can be pushed`,
      async ({ ask }) => {
        (await ask('GET', `/v2/${name}/tags/list`)).is(400, 404);
        (await ask('POST', `/v2/${name}/blobs/uploads/`)).is(400, 404, 405);
        (await ask('PUT', `/v2/${name}/manifests/1.0`, { body: '{}' })).is(400, 404, 405);
      },
      grammar,
    ),
    check(
      `${shown} is no name: 400 NAME_INVALID, or 404 with an OCI error body`,
      async ({ ask }) => {
        (await ask('GET', `/v2/${name}/tags/list`)).isError([400, 404], 'NAME_INVALID', 'NAME_UNKNOWN');
        (await ask('POST', `/v2/${name}/blobs/uploads/`)).isError([400, 404], 'NAME_INVALID', 'NAME_UNKNOWN');
      },
      grammar ?? 'nameErrors',
    ),
  ];
}
