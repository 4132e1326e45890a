import { expect } from 'vitest';
import { digestOfBytes } from '../support/fake-registry/content.ts';
import { mediaTypes } from '../support/fake-registry/image.ts';
import { type Area, check } from './check.ts';
import {
  descriptorOf,
  descriptorOfBytes,
  documentOf,
  emptyType,
  imageOf,
  imageType,
  indexOf,
  indexType,
  layerType,
  uniqueBytes,
  unknownDigest,
} from './documents.ts';
import { expectDocument } from './pull.ts';
import { expectNoBlob } from './push-monolithic.ts';
import { withQuery } from './registry.ts';

const maxManifestBytes = 4 * 1024 * 1024;
const longestTag = 't'.repeat(128);
const missing = { mediaType: layerType, digest: unknownDigest(), size: 64 };

export const manifests: Area = {
  title: 'push of a manifest',
  checks: [
    check('by tag: 201, its digest, and a Location where it can be fetched', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = imageOf(config, [layer]);
      const answer = (await registry.put(repository, '1.0', image)).is(201);
      expect(answer.header('docker-content-digest')).toBe(image.digest);
      const fetched = await registry.ask('GET', answer.location(), { headers: { accept: imageType } });
      expectDocument(fetched, image);
    }),
    check('by digest: 201, and no tag appears', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = imageOf(config, [layer]);
      const answer = (await registry.put(repository, image.digest, image)).is(201);
      expect(answer.header('docker-content-digest')).toBe(image.digest);
      expectDocument(await registry.ask('GET', answer.location(), { headers: { accept: imageType } }), image);
      (await registry.manifest(repository, 'latest')).is(404);
    }),
    check('a manifest of Docker, and its list', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const types = mediaTypes.docker;
      const image = documentOf(types.manifest, {
        schemaVersion: 2,
        mediaType: types.manifest,
        config: { ...config, mediaType: types.config },
        layers: [{ ...layer, mediaType: types.gzippedLayer }],
      });
      const child = { ...descriptorOf(image), platform: { architecture: 'amd64', os: 'linux' } };
      const list = documentOf(types.index, { schemaVersion: 2, mediaType: types.index, manifests: [child] });
      (await registry.put(repository, image.digest, image)).is(201);
      (await registry.put(repository, '1.0', list)).is(201);
      expectDocument(await registry.manifest(repository, image.digest), image);
      expectDocument(await registry.manifest(repository, '1.0'), list);
    }),
    check('an OCI image without a mediaType of its own', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = documentOf(imageType, { schemaVersion: 2, config, layers: [layer] });
      (await registry.put(repository, '1.0', image)).is(201);
      expectDocument(await registry.manifest(repository, '1.0'), image);
    }),
    check('odd white space, unknown fields, annotations, data and escapes are kept byte for byte', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const data = Buffer.from('small');
      await registry.blob(repository, data);
      const small = { ...descriptorOfBytes(layerType, data), data: data.toString('base64') };
      const content = {
        'org.example.unknown': { nested: [null, true, 1e3, 'ü'] },
        layers: [layer, small],
        annotations: { 'org.example.a b': '', zebra: '<&>\u2028', alpha: 'line\nline' },
        schemaVersion: 2,
        config: { ...config, annotations: { x: 'y' }, 'x-custom': 1 },
        mediaType: imageType,
      };
      const pretty = JSON.stringify(content, null, '\t').replaceAll('\n', '\r\n').replaceAll('<', '\\u003c');
      const image = documentOf(imageType, `\n ${pretty} \r\n\t`);
      (await registry.put(repository, 'odd', image)).is(201);
      for (const reference of ['odd', image.digest])
        expectDocument(await registry.manifest(repository, reference), image);
    }),
    check('the same push again is 201 again', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, ['1.0']);
      for (const reference of ['1.0', image.digest]) {
        expect((await registry.put(repository, reference, image)).is(201).header('docker-content-digest')).toBe(
          image.digest,
        );
      }
      expectDocument(await registry.manifest(repository, '1.0'), image);
    }),
    check('a tag moves to what was pushed last; what it pointed to stays under its digest', async (registry) => {
      const repository = registry.repository();
      const [old, fresh] = [await registry.image(repository, ['1.0']), await registry.image(repository, ['1.0'])];
      expectDocument(await registry.manifest(repository, '1.0'), fresh);
      expectDocument(await registry.manifest(repository, old.digest), old);
      (await registry.put(repository, '1.0', old)).is(201);
      expectDocument(await registry.manifest(repository, '1.0'), old);
    }),
    check('an artifact: artifactType and the empty config', async (registry) => {
      const repository = registry.repository();
      const empty = Buffer.from('{}');
      await registry.blob(repository, empty);
      const config = { ...descriptorOfBytes(emptyType, empty), data: empty.toString('base64') };
      const artifact = imageOf(config, [config], { artifactType: 'application/vnd.example+type' });
      (await registry.put(repository, artifact.digest, artifact)).is(201);
      expectDocument(await registry.manifest(repository, artifact.digest), artifact);
    }),
    check('the same layer twice', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      (await registry.put(repository, '1.0', imageOf(config, [layer, layer]))).is(201);
    }),
    check('an index of images, and an index of indexes', async (registry) => {
      const repository = registry.repository();
      const children = [await registry.image(repository), await registry.image(repository)];
      const index = indexOf(children.map(descriptorOf));
      (await registry.put(repository, index.digest, index)).is(201);
      const nested = indexOf([descriptorOf(index)], { annotations: { nested: 'yes' } });
      (await registry.put(repository, 'nested', nested)).is(201);
      for (const one of [...children, index]) expectDocument(await registry.manifest(repository, one.digest), one);
      expectDocument(await registry.manifest(repository, 'nested'), nested);
    }),
    ...['', '{', '{"schemaVersion":2', '\u0000', '{} {}'].map((text) =>
      check(`${JSON.stringify(text)} is no JSON: 400 MANIFEST_INVALID`, async (registry) => {
        const repository = registry.repository();
        (await registry.put(repository, 'bad', documentOf(imageType, text))).isError(400, 'MANIFEST_INVALID');
        (await registry.manifest(repository, 'bad')).is(404);
      }),
    ),
    ...(
      [
        ['[]', undefined],
        ['"x"', undefined],
        ['1', undefined],
        ['null', 'manifestErrors'],
        ['{}', 'manifestErrors'],
      ] as const
    ).map(([text, needs]) =>
      check(
        `${text} is JSON and no manifest: 400 MANIFEST_INVALID`,
        async (registry) => {
          const repository = registry.repository();
          for (const mediaType of [imageType, indexType]) {
            (await registry.put(repository, 'bad', documentOf(mediaType, text))).isError(400, 'MANIFEST_INVALID');
          }
          (await registry.manifest(repository, 'bad')).is(404);
        },
        needs,
      ),
    ),
    check('an image with a path for the digest of a layer is 400', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = imageOf(config, [{ ...layer, digest: '../../x' }]);
      (await registry.put(repository, 'bad', image)).isError(400, 'MANIFEST_INVALID', 'DIGEST_INVALID');
      (await registry.manifest(repository, 'bad')).is(404);
    }),
    check(
      'an image whose config has a digest that is none is 400',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const image = imageOf({ ...config, digest: 'sha256:abc' }, [layer]);
        (await registry.put(repository, 'bad', image)).isError(400, 'MANIFEST_INVALID', 'DIGEST_INVALID');
        (await registry.manifest(repository, 'bad')).is(404);
      },
      'manifestErrors',
    ),
    check('an image whose layers are no list, and an index whose manifests are none, are 400', async (registry) => {
      const repository = registry.repository();
      const { config } = await registry.parts(repository);
      for (const bad of [
        documentOf(imageType, { schemaVersion: 2, mediaType: imageType, config, layers: 'none' }),
        documentOf(indexType, { schemaVersion: 2, mediaType: indexType, manifests: {} }),
      ]) {
        (await registry.put(repository, 'bad', bad)).isError(400, 'MANIFEST_INVALID');
      }
      (await registry.manifest(repository, 'bad')).is(404);
    }),
    check('a mediaType that is not the Content-Type is 400 MANIFEST_INVALID', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = imageOf(config, [layer]);
      const index = indexOf([]);
      for (const [bytes, mediaType] of [
        [image.bytes, mediaTypes.docker.manifest],
        [image.bytes, indexType],
        [index.bytes, imageType],
      ] as const) {
        const answer = await registry.put(repository, 'bad', documentOf(mediaType, bytes));
        answer.isError(400, 'MANIFEST_INVALID');
      }
      (await registry.manifest(repository, 'bad')).is(404);
    }),
    check('another digest than that of the body is 400 DIGEST_INVALID, and nothing is stored', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const [image, digest] = [imageOf(config, [layer]), unknownDigest()];
      (await registry.put(repository, digest, image)).isError(400, 'DIGEST_INVALID');
      for (const one of [digest, image.digest]) (await registry.manifest(repository, one)).is(404);
    }),
    check('a layer or config that is nowhere: MANIFEST_BLOB_UNKNOWN, and nothing is stored', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      for (const bad of [
        imageOf(config, [layer, missing]),
        imageOf({ ...missing, mediaType: config.mediaType }, [layer]),
      ]) {
        (await registry.put(repository, 'bad', bad)).isError([400, 404], 'MANIFEST_BLOB_UNKNOWN');
        (await registry.manifest(repository, bad.digest)).is(404);
      }
      (await registry.manifest(repository, 'bad')).is(404);
    }),
    check('a layer that only another repository has: MANIFEST_BLOB_UNKNOWN', async (registry) => {
      const [owner, repository] = [registry.repository(), registry.repository()];
      const { config } = await registry.parts(repository);
      const { layer } = await registry.parts(owner);
      const image = imageOf(config, [layer]);
      (await registry.put(repository, '1.0', image)).isError([400, 404], 'MANIFEST_BLOB_UNKNOWN');
      await expectNoBlob(registry, repository, layer.digest);
      const mounted = withQuery(`/v2/${repository}/blobs/uploads/`, { mount: layer.digest, from: owner });
      (await registry.ask('POST', mounted)).is(201);
      (await registry.put(repository, '1.0', image)).is(201);
    }),
    check('an index with a child that is nowhere, or in another repository only: refused', async (registry) => {
      const [owner, repository] = [registry.repository(), registry.repository()];
      const [here, there] = [await registry.image(repository), await registry.image(owner)];
      for (const child of [{ ...missing, mediaType: imageType }, descriptorOf(there)]) {
        const index = indexOf([descriptorOf(here), child]);
        const answer = await registry.put(repository, 'bad', index);
        answer.isError([400, 404], 'MANIFEST_BLOB_UNKNOWN', 'MANIFEST_UNKNOWN');
      }
      (await registry.manifest(repository, 'bad')).is(404);
    }),
    check(
      'a layer with urls need not be here',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const foreign = {
          ...missing,
          mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
          urls: ['https://layers.example/one'],
        };
        const image = imageOf(config, [foreign, layer]);
        (await registry.put(repository, '1.0', image)).is(201);
        expectDocument(await registry.manifest(repository, '1.0'), image);
        (await registry.head(repository, `blobs/${foreign.digest}`)).is(404);
      },
      'foreignLayers',
    ),
    check('a subject that is not here is accepted', async (registry) => {
      const repository = registry.repository();
      const image = await registry.image(repository, [], { subject: { ...missing, mediaType: imageType } });
      expectDocument(await registry.manifest(repository, image.digest), image);
      (await registry.manifest(repository, missing.digest)).is(404);
    }),
    check(
      'a subject, here or not, comes back as OCI-Subject; without a subject there is no such header',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const subject = imageOf(config, [layer]);
        expect((await registry.put(repository, '1.0', subject)).is(201).maybe('oci-subject')).toBeUndefined();
        for (const descriptor of [descriptorOf(subject), { ...missing, mediaType: imageType }]) {
          for (const referrer of [
            imageOf(config, [layer], { subject: descriptor }),
            indexOf([], { subject: descriptor }),
          ]) {
            const answer = (await registry.put(repository, referrer.digest, referrer)).is(201);
            expect(answer.header('oci-subject')).toBe(descriptor.digest);
          }
        }
      },
      'subject',
    ),
    check('a manifest of exactly 4 MiB is accepted', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = documentOf(imageType, padded(imageOf(config, [layer]).bytes, maxManifestBytes));
      (await registry.put(repository, 'large', image)).is(201);
      expectDocument(await registry.manifest(repository, 'large'), image);
    }),
    check(
      'a manifest of 4 MiB and one byte is 413',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const image = documentOf(imageType, padded(imageOf(config, [layer]).bytes, maxManifestBytes + 1));
        (await registry.put(repository, 'large', image)).isError(413);
        (await registry.manifest(repository, 'large')).is(404);
      },
      'tooLarge',
    ),
    ...['a', '_', '1.0-x_Y', 'latest.', `sha256-${'a'.repeat(64)}`, longestTag].map((tag) =>
      check(`${tag.slice(0, 20)} is a tag`, async (registry) => {
        const repository = registry.repository();
        const image = await registry.image(repository, [tag]);
        expectDocument(await registry.manifest(repository, tag), image);
      }),
    ),
    check('tags differ by case', async (registry) => {
      const repository = registry.repository();
      const [upper, lower] = [await registry.image(repository, ['V1']), await registry.image(repository, ['v1'])];
      expectDocument(await registry.manifest(repository, 'V1'), upper);
      expectDocument(await registry.manifest(repository, 'v1'), lower);
    }),
    ...['.hidden', '-dash', 'a+b', 'a%20b', '%C3%BC', '%2e%2e', 'a%00', `${longestTag}t`].map((tag) =>
      check(
        `${tag.slice(0, 20)} (${decodeURIComponent(tag).length} characters) is no tag: 400`,
        async (registry) => {
          const repository = registry.repository();
          const { config, layer } = await registry.parts(repository);
          (await registry.put(repository, tag, imageOf(config, [layer]))).isError(400);
        },
        'tagErrors',
      ),
    ),
    check(
      'several ?tag= on a push by digest: each points to it, and OCI-Tag names them',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const image = imageOf(config, [layer]);
        const tags = Array.from({ length: 10 }, (_, index) => `t${index}`);
        const query = `?${tags.map((tag) => `tag=${tag}`).join('&')}`;
        const answer = (await registry.put(repository, image.digest, image, query)).is(201);
        expect(answer.header('oci-tag').split(/,\s*/).sort()).toEqual(tags);
        for (const tag of tags) expectDocument(await registry.manifest(repository, tag), image);
      },
      'tagParameters',
    ),
    check(
      'one ?tag= that is no tag refuses the push',
      async (registry) => {
        const repository = registry.repository();
        const { config, layer } = await registry.parts(repository);
        const image = imageOf(config, [layer]);
        (await registry.put(repository, image.digest, image, '?tag=good&tag=..bad')).isError(400);
        (await registry.manifest(repository, 'good')).is(404);
      },
      'tagParameters',
    ),
    check('an image whose parts are known by sha512', async (registry) => {
      const repository = registry.repository();
      const [config, layer] = [Buffer.from(`{"id":"${unknownDigest()}"}`), uniqueBytes()];
      for (const bytes of [config, layer]) await registry.blob(repository, bytes, 'sha512');
      const image = imageOf(
        { mediaType: mediaTypes.oci.config, digest: digestOfBytes(config, 'sha512'), size: config.length },
        [{ mediaType: layerType, digest: digestOfBytes(layer, 'sha512'), size: layer.length }],
      );
      (await registry.put(repository, '1.0', image)).is(201);
      expectDocument(await registry.manifest(repository, '1.0'), image);
    }),
    check('pushes of one manifest at once are all 201', async (registry) => {
      const repository = registry.repository();
      const { config, layer } = await registry.parts(repository);
      const image = imageOf(config, [layer]);
      const tags = Array.from({ length: 8 }, (_, index) => `t${index}`);
      const answers = await Promise.all(tags.map((tag) => registry.put(repository, tag, image)));
      for (const answer of answers) answer.is(201);
      for (const tag of tags) expectDocument(await registry.manifest(repository, tag), image);
    }),
  ],
};

/** White space behind a JSON text is none of its business. */
function padded(bytes: Buffer, size: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(size - bytes.length, ' ')]);
}
