import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import type { Answer } from './answer.ts';
import { type Area, check } from './check.ts';
import { uniqueBytes, unknownDigest } from './documents.ts';
import { expectBlob, expectNoBlob } from './push-monolithic.ts';
import { type Registry, withQuery } from './registry.ts';

export const mount: Area = {
  title: 'mount of a blob from another repository',
  checks: [
    check('from a repository that has it: 201, and it can be fetched at the Location', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      const bytes = uniqueBytes(1_000);
      const digest = await registry.blob(source, bytes);
      const mounted = (await ask(registry, target, { mount: digest, from: source })).is(201);
      expect((await registry.ask('GET', mounted.location())).is(200).body.equals(bytes)).toBe(true);
      await expectBlob(registry, target, bytes);
    }),
    check('it stays when the source deletes its own', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      const bytes = uniqueBytes();
      const digest = await registry.blob(source, bytes);
      (await ask(registry, target, { mount: digest, from: source })).is(201);
      (await registry.delete(source, `blobs/${digest}`)).is(202);
      await expectBlob(registry, target, bytes);
    }),
    check('a blob that nobody has is 202 and an upload, never 201', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      await registry.blob(source);
      const bytes = uniqueBytes();
      const digest = digestOfBytes(bytes);
      const answer = await ask(registry, target, { mount: digest, from: source });
      await expectNoBlob(registry, target, digest);
      await expectUpload(registry, target, answer, bytes);
    }),
    check('from a repository that has it not, though another has: 202 and an upload', async (registry) => {
      const [owner, source, target] = [registry.repository(), registry.repository(), registry.repository()];
      const bytes = uniqueBytes();
      const digest = await registry.blob(owner, bytes);
      await registry.blob(source);
      const answer = await ask(registry, target, { mount: digest, from: source });
      await expectNoBlob(registry, target, digest);
      await expectUpload(registry, target, answer, bytes);
    }),
    check('from a repository without a push: 202 and an upload', async (registry) => {
      const bytes = uniqueBytes();
      const target = registry.repository();
      const answer = await ask(registry, target, { mount: digestOfBytes(bytes), from: registry.repository() });
      await expectUpload(registry, target, answer, bytes);
    }),
    check('from a name that is none: 202, or refused, and nothing is mounted', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      const digest = await registry.blob(source);
      for (const from of ['UPPER', '../x', '', `${source}/`, '%00']) {
        (await ask(registry, target, { mount: digest, from })).is(202, 400, 404);
      }
      await expectNoBlob(registry, target, digest);
    }),
    check('of a digest that is none: 202, or 400 DIGEST_INVALID', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      await registry.blob(source);
      for (const digest of ['sha256:abc', 'latest', '../../x']) {
        const answer = await ask(registry, target, { mount: digest, from: source });
        if (answer.status !== 202) answer.isError(400, 'DIGEST_INVALID');
      }
    }),
    check('without from, of a blob that nobody has: 202 and an upload', async (registry) => {
      const target = registry.repository();
      const bytes = uniqueBytes();
      await expectUpload(registry, target, await ask(registry, target, { mount: digestOfBytes(bytes) }), bytes);
      await expectNoBlob(registry, target, unknownDigest());
    }),
    check('without from, of a blob that is somewhere: 201 and it is there, or 202 and it is not', async (registry) => {
      const [source, target] = [registry.repository(), registry.repository()];
      const bytes = uniqueBytes();
      const digest = await registry.blob(source, bytes);
      const answer = (await ask(registry, target, { mount: digest })).is(201, 202);
      if (answer.status === 201) return expectBlob(registry, target, bytes);
      await expectNoBlob(registry, target, digest);
      await expectUpload(registry, target, answer, bytes);
    }),
    check(
      'without from, of a blob of a repository that one may pull: 201',
      async (registry) => {
        const [source, target] = [registry.repository(), registry.repository()];
        const bytes = uniqueBytes();
        const digest = await registry.blob(source, bytes);
        (await ask(registry, target, { mount: digest })).is(201);
        await expectBlob(registry, target, bytes);
      },
      'mountWithoutFrom',
    ),
  ],
};

function ask(registry: Registry, repository: string, query: Readonly<Record<string, string>>): Promise<Answer> {
  return registry.ask('POST', withQuery(`/v2/${repository}/blobs/uploads/`, query));
}

/** That the answer is an upload like any other, to be gone on with. */
async function expectUpload(registry: Registry, repository: string, answer: Answer, bytes: Buffer): Promise<void> {
  const location = answer.is(202).location();
  (await registry.finish(location, digestOfBytes(bytes), bytes)).is(201);
  await expectBlob(registry, repository, bytes);
}
