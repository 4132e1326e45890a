import { expect } from 'vitest';
import { z } from 'zod';
import type { Answer } from './answer.ts';
import { type Area, type Check, check } from './check.ts';
import {
  type Document,
  descriptorOf,
  descriptorOfBytes,
  emptyType,
  imageOf,
  imageType,
  indexOf,
  indexType,
  unknownDigest,
} from './documents.ts';
import type { Registry } from './registry.ts';

const referrersIndex = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(indexType),
  manifests: z.array(
    z.object({
      mediaType: z.string(),
      digest: z.string(),
      size: z.int(),
      artifactType: z.string().optional(),
      annotations: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

const signature = 'application/vnd.example.signature+json';
const bom = 'application/vnd.example.bom+json';

export const referrers: Area = {
  title: 'referrers',
  checks: [
    promise('of a digest that nobody has are an empty index, also in a repository without a push', async (registry) => {
      const [used, unused] = [registry.repository(), registry.repository()];
      await registry.image(used, ['1.0']);
      for (const repository of [used, unused]) {
        for (const digest of [unknownDigest(), unknownDigest('sha512')]) {
          expect(listOf(await registry.get(repository, `referrers/${digest}`))).toEqual([]);
        }
      }
    }),
    promise('are images and indexes with that subject; the artifactType is the own one', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const more = { subject: descriptorOf(subject), artifactType: signature, annotations: { a: 'b', 'org.c': '' } };
      const image = await registry.image(repository, [], more);
      const index = indexOf([descriptorOf(subject)], more);
      (await registry.put(repository, index.digest, index)).is(201);
      await registry.image(repository, ['unrelated'], { artifactType: signature });
      const listed = listOf(await registry.get(repository, `referrers/${subject.digest}`));
      const { artifactType, annotations } = more;
      expect(byDigest(listed)).toEqual(
        byDigest([image, index].map((one) => ({ ...descriptorOf(one), artifactType, annotations }))),
      );
    }),
    promise("have the config's mediaType where they name no artifactType, but an index has none", async (registry) => {
      const repository = registry.repository();
      const subject = descriptorOf(await registry.image(repository, ['1.0']));
      const empty = Buffer.from('{}');
      await registry.blob(repository, empty);
      const config = descriptorOfBytes(bom, empty);
      const image = imageOf(config, [config], { subject });
      const index = indexOf([], { subject });
      for (const one of [image, index]) (await registry.put(repository, one.digest, one)).is(201);
      const listed = listOf(await registry.get(repository, `referrers/${subject.digest}`));
      expect(byDigest(listed)).toEqual(byDigest([{ ...descriptorOf(image), artifactType: bom }, descriptorOf(index)]));
    }),
    promise('are an OCI index by Content-Type', async (registry) => {
      const answer = await registry.get(registry.repository(), `referrers/${unknownDigest()}`);
      expect(answer.is(200).header('content-type')).toBe(indexType);
    }),
    promise('of one artifactType, which OCI-Filters-Applied says', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const signed = await artifact(registry, repository, subject, signature);
      await artifact(registry, repository, subject, bom);
      const path = `referrers/${subject.digest}?artifactType=${encodeURIComponent(signature)}`;
      const answer = await registry.get(repository, path);
      expect(listOf(answer).map(({ digest }) => digest)).toEqual([signed.digest]);
      expect(answer.header('oci-filters-applied')).toBe('artifactType');
      const none = await registry.get(repository, `referrers/${subject.digest}?artifactType=application/x.none`);
      expect(listOf(none)).toEqual([]);
      expect(
        (await registry.get(repository, `referrers/${subject.digest}`)).maybe('oci-filters-applied'),
      ).toBeUndefined();
    }),
    promise('are there before their subject is', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const subject = imageOf(config, [layer]);
      const referrer = await artifact(registry, repository, subject, signature);
      const listed = async () => digestsOf(await registry.get(repository, `referrers/${subject.digest}`));
      expect(await listed()).toEqual([referrer.digest]);
      (await registry.put(repository, '1.0', subject)).is(201);
      expect(await listed()).toEqual([referrer.digest]);
    }),
    promise('are those of the repository only', async (registry) => {
      const [repository, other] = [registry.repository(), registry.repository()];
      const subject = await registry.image(repository, ['1.0']);
      await artifact(registry, repository, subject, signature);
      expect(digestsOf(await registry.get(other, `referrers/${subject.digest}`))).toEqual([]);
    }),
    promise('are listed once, however often and under whatever tags they were pushed', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const referrer = await artifact(registry, repository, subject, signature);
      for (const tag of ['a', 'b']) (await registry.put(repository, tag, referrer)).is(201);
      expect(digestsOf(await registry.get(repository, `referrers/${subject.digest}`))).toEqual([referrer.digest]);
    }),
    promise('are gone when they are deleted', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const [kept, deleted] = [
        await artifact(registry, repository, subject, signature),
        await artifact(registry, repository, subject, bom),
      ];
      (await registry.delete(repository, `manifests/${deleted.digest}`)).is(202);
      expect(digestsOf(await registry.get(repository, `referrers/${subject.digest}`))).toEqual([kept.digest]);
    }),
    promise('outlive their subject', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const referrer = await artifact(registry, repository, subject, signature);
      (await registry.delete(repository, `manifests/${subject.digest}`)).is(202);
      expect(digestsOf(await registry.get(repository, `referrers/${subject.digest}`))).toEqual([referrer.digest]);
    }),
    promise('include what older clients listed under the tag sha256-<hex>', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const known = await artifact(registry, repository, subject, signature);
      const listed = { ...descriptorOf(known), artifactType: signature };
      // Such a list may name the same manifest as the registry's own knowledge, and still it is one referrer.
      const fallback = indexOf([listed]);
      (await registry.put(repository, subject.digest.replace(':', '-'), fallback)).is(201);
      expect(digestsOf(await registry.get(repository, `referrers/${subject.digest}`))).toEqual([known.digest]);
    }),
    promise('include those under the tag sha256-<hex> that name no subject themselves', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const attached = await registry.image(repository, [], { artifactType: bom });
      const fallback = indexOf([{ ...descriptorOf(attached), artifactType: bom }]);
      (await registry.put(repository, subject.digest.replace(':', '-'), fallback)).is(201);
      expect(digestsOf(await registry.get(repository, `referrers/${subject.digest}`))).toEqual([attached.digest]);
    }),
    promise('of what is no digest are 400', async (registry) => {
      const repository = registry.repository();
      await registry.image(repository, ['1.0']);
      for (const bad of ['latest', 'sha256:abc', `md5:${'a'.repeat(32)}`]) {
        (await registry.get(repository, `referrers/${bad}`)).isError(400);
      }
    }),
    promise('may be many: all come, over Link where there are pages', async (registry) => {
      const repository = registry.repository();
      const subject = await registry.image(repository, ['1.0']);
      const { config, layer } = await registry.parts(repository);
      const pushed: string[] = [];
      for (let index = 0; index < 60; index += 1) {
        const more = { subject: descriptorOf(subject), annotations: { index: String(index) } };
        const referrer = imageOf(config, [layer], more);
        (await registry.put(repository, referrer.digest, referrer)).is(201);
        pushed.push(referrer.digest);
      }
      const listed: string[] = [];
      for (let path: string | undefined = `/v2/${repository}/referrers/${subject.digest}`; path !== undefined; ) {
        const answer = await registry.ask('GET', path);
        listed.push(...digestsOf(answer));
        path = answer.next();
      }
      expect(listed.sort()).toEqual(pushed.sort());
    }),
  ],
};

function promise(title: string, run: Check['run']): Check {
  return check(title, run, 'referrers');
}

function listOf(answer: Answer) {
  return answer.is(200).parsed(referrersIndex).manifests;
}

function digestsOf(answer: Answer): readonly string[] {
  return listOf(answer).map(({ digest }) => digest);
}

function byDigest<T extends { readonly digest: string }>(list: readonly T[]): readonly T[] {
  return [...list].sort((one, other) => (one.digest < other.digest ? -1 : 1));
}

/** Something small that refers to the subject, which need not be there. */
async function artifact(
  registry: Registry,
  repository: string,
  subject: Document,
  artifactType: string,
): Promise<Document> {
  const empty = Buffer.from('{}');
  await registry.blob(repository, empty);
  const config = descriptorOfBytes(emptyType, empty);
  const more = { subject: { ...descriptorOf(subject), mediaType: imageType }, artifactType };
  const document = imageOf(config, [config], more);
  (await registry.put(repository, document.digest, document)).is(201);
  return document;
}
