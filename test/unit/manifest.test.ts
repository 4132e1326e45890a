import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type Child, childrenOf, maxManifestBytes } from '../../src/oci/manifest.ts';

const imageTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const artifactType = 'application/vnd.oci.artifact.manifest.v1+json';
const knownTypes = [...imageTypes, ...indexTypes, artifactType];

function named(text: string): Digest {
  return digestOf(Buffer.from(text));
}

function descriptor(text: string, more: Readonly<Record<string, unknown>> = {}) {
  return { mediaType: 'application/octet-stream', digest: named(text), size: text.length, ...more };
}

function blob(text: string): Child {
  return { digest: named(text), size: text.length, kind: 'blob' };
}

function childrenIn(manifest: unknown, mediaType: string): readonly Child[] {
  const children = childrenOf(Buffer.from(JSON.stringify(manifest)), mediaType);
  if (!children.ok) throw new Error(children.failure.reason);
  return children.value;
}

function reasonFor(text: string | Uint8Array, mediaType: string): string {
  const children = childrenOf(typeof text === 'string' ? Buffer.from(text) : text, mediaType);
  return children.ok ? 'none' : children.failure.reason;
}

describe.each(imageTypes)('an image of type %s', (type) => {
  test('has its config and its layers for children', () => {
    const manifest = { schemaVersion: 2, config: descriptor('config'), layers: [descriptor('a'), descriptor('bb')] };
    expect(childrenIn(manifest, type)).toEqual([blob('config'), blob('a'), blob('bb')]);
  });

  test.each([{ layers: [] }, { layers: null }, {}])('may be without layers: %j', (layers) => {
    expect(childrenIn({ config: descriptor('config'), ...layers }, type)).toEqual([blob('config')]);
  });

  test('is complete without the layers that lie elsewhere', () => {
    const layers = [
      descriptor('windows base', { urls: ['https://example.com/base'] }),
      descriptor('own'),
      descriptor('no urls', { urls: [] }),
      descriptor('null urls', { urls: null }),
    ];
    expect(childrenIn({ config: descriptor('config'), layers }, type)).toEqual(
      ['config', 'own', 'no urls', 'null urls'].map(blob),
    );
  });

  test('needs a layer that is named twice once', () => {
    const layers = [descriptor('empty'), descriptor('a'), descriptor('empty')];
    expect(childrenIn({ config: descriptor('empty'), layers }, type)).toEqual([blob('empty'), blob('a')]);
  });

  test('does not need its subject', () => {
    const manifest = { config: descriptor('config'), layers: [], subject: descriptor('subject') };
    expect(childrenIn(manifest, type)).toEqual([blob('config')]);
  });

  test.each([
    ['no config', { layers: [] }],
    ['a config of null', { config: null, layers: [] }],
    ['a layer that is no object', { config: descriptor('c'), layers: ['x'] }],
    ['a layer without digest', { config: descriptor('c'), layers: [{ size: 1 }] }],
    ['a layer without size', { config: descriptor('c'), layers: [{ digest: named('a') }] }],
    ['a size below nothing', { config: descriptor('c', { size: -1 }), layers: [] }],
    ['half a byte', { config: descriptor('c', { size: 0.5 }), layers: [] }],
    ['a size beyond counting', { config: descriptor('c', { size: 2 ** 60 }), layers: [] }],
    ['a size as text', { config: descriptor('c', { size: '1' }), layers: [] }],
    ['a digest that is a path', { config: descriptor('c', { digest: 'sha256:../../etc/passwd' }), layers: [] }],
    ['a digest we cannot compute', { config: descriptor('c', { digest: `md5:${'a'.repeat(32)}` }), layers: [] }],
    ['layers that are an object', { config: descriptor('c'), layers: { 0: descriptor('a') } }],
  ])('is refused with %s', (_, manifest) => {
    expect(reasonFor(JSON.stringify(manifest), type)).toMatch(/^the manifest is not valid: /);
  });

  test('says which layer is wrong', () => {
    const layers = [descriptor('a'), descriptor('b'), { ...descriptor('c'), digest: 'sha256:abc' }];
    expect(reasonFor(JSON.stringify({ config: descriptor('config'), layers }), type)).toContain('layers[2].digest');
  });
});

describe.each(indexTypes)('an index of type %s', (type) => {
  test('has its manifests for children, with their platforms', () => {
    const manifests = [
      descriptor('amd64', { platform: { os: 'linux', architecture: 'amd64' } }),
      descriptor('arm', { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }),
      descriptor('windows', {
        platform: { os: 'windows', architecture: 'amd64', 'os.version': '10.0', variant: null },
      }),
      descriptor('attestation', { platform: { os: 'unknown', architecture: 'unknown' } }),
      descriptor('plain'),
      descriptor('null platform', { platform: null }),
    ];
    expect(childrenIn({ manifests }, type).map(({ kind, platform }) => [kind, platform])).toEqual([
      ['manifest', 'linux/amd64'],
      ['manifest', 'linux/arm/v7'],
      ['manifest', 'windows/amd64'],
      ['manifest', 'unknown/unknown'],
      ['manifest', undefined],
      ['manifest', undefined],
    ]);
  });

  test.each([{ manifests: [] }, { manifests: null }, {}])('may be empty: %j', (manifest) => {
    expect(childrenIn(manifest, type)).toEqual([]);
  });

  test('needs a manifest that is named twice once', () => {
    expect(childrenIn({ manifests: [descriptor('a'), descriptor('a')] }, type)).toHaveLength(1);
  });

  test('is refused with a platform that is none', () => {
    const manifests = [descriptor('a', { platform: { os: 7 } })];
    expect(reasonFor(JSON.stringify({ manifests }), type)).toContain('manifests[0].platform');
  });
});

test('an artifact has its blobs for children', () => {
  expect(childrenIn({ blobs: [descriptor('a'), descriptor('b')] }, artifactType)).toEqual(['a', 'b'].map(blob));
  for (const blobs of [null, undefined, []]) expect(childrenIn({ blobs }, artifactType)).toEqual([]);
});

test.each(['application/vnd.docker.distribution.manifest.v1+prettyjws', 'application/json', ''])(
  'a manifest of the unknown type %j is never looked into',
  (type) => {
    expect(childrenOf(Buffer.from('<html>'), type)).toEqual({ ok: true, value: [] });
    expect(childrenIn({ config: descriptor('config'), layers: [descriptor('a')] }, type)).toEqual([]);
  },
);

describe.each(knownTypes)('what claims to be of type %s', (type) => {
  test.each([
    ['nothing', ''],
    ['a page', '<html><body>Please log in</body></html>'],
    ['half a manifest', '{"schemaVersion":2,"config":{"dig'],
    ['two manifests', '{}{}'],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ])('and is %s is refused', (_, text) => {
    expect(reasonFor(text, type)).toBe('the manifest is not JSON');
  });

  test.each(['null', '1', '"text"', '[]', 'true'])('and is %s is refused', (text) => {
    expect(reasonFor(text, type)).toMatch(/^the manifest is not valid: /);
  });

  test('cannot reach into prototypes', () => {
    const text = `{"__proto__":{"config":${JSON.stringify(descriptor('c'))},"layers":[]},"constructor":{"prototype":{"x":1}}}`;
    childrenOf(Buffer.from(text), type);
    expect(({} as { x?: number; config?: unknown }).x).toBeUndefined();
    expect(({} as { x?: number; config?: unknown }).config).toBeUndefined();
  });
});

describe('as many bytes as a manifest may have', () => {
  const fill = (text: string) => text.repeat(Math.floor((maxManifestBytes - 200) / text.length));
  const config = JSON.stringify(descriptor('config'));
  const deep = `${'['.repeat(maxManifestBytes / 2 - 200)}${']'.repeat(maxManifestBytes / 2 - 200)}`;

  test.each([
    ['opening brackets', fill('[')],
    ['opening braces', fill('{"a":')],
    ['brackets within brackets', deep],
    ['brackets within a field we do not read', `{"config":${config},"annotations":${deep}}`],
    ['brackets for a digest', `{"config":{"size":1,"digest":${deep}}}`],
    ['layers that are none', `{"config":${config},"layers":[${fill('0,')}0]}`],
    ['layers that are empty', `{"config":${config},"layers":[${fill('{},')}{}]}`],
    ['manifests that are none', `{"manifests":[${fill('0,')}0]}`],
    ['manifests that are empty', `{"manifests":[${fill('{},')}{}]}`],
    ['blobs that are none', `{"blobs":[${fill('0,')}0]}`],
    ['one long digest', `{"config":{"size":1,"digest":"sha256:${fill('a')}"}}`],
    ['fields', `{${fill('"config":1,')}"config":1}`],
    [
      'one layer, again and again',
      `{"config":${config},"layers":[${fill(`${JSON.stringify(descriptor('layer'))},`)}${config}]}`,
    ],
  ])('of %s neither crash nor take long, and the complaint stays short', (_, text) => {
    const bytes = Buffer.from(text);
    for (const type of [imageTypes[0], indexTypes[0], artifactType].map(String)) {
      const started = performance.now();
      const reason = reasonFor(bytes, type);
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(reason.length).toBeLessThan(1_000);
    }
  });
});
