import { digestOfBytes } from './fake-registry/content.ts';
import { mediaTypes } from './fake-registry/image.ts';

/** As it goes over the wire. `Host` and `Content-Length` are among the headers. */
export interface WireRequest {
  readonly method: string;
  /** Path and query; {@link liveUpload} stands for the name of an upload that was begun, and its query. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

export const liveUpload = '@upload@';

export interface SessionParts {
  /** May be pushed to. */
  readonly repository: string;
  /** May be pulled from, and is where blobs are mounted from. */
  readonly other: string;
  /** `host:port`. */
  readonly host: string;
  readonly authorization?: string;
}

const octets = 'application/octet-stream';
const json = 'application/vnd.oci.image.manifest.v1+json';

/** The valid requests of one whole push, pull and deletion, in their order. */
export function pushSession({ repository, other, host, authorization }: SessionParts): readonly WireRequest[] {
  const layer = Buffer.alloc(300, 'layer ');
  const config = Buffer.from('{"architecture":"amd64","os":"linux"}');
  const [layerDigest, configDigest] = [digestOfBytes(layer), digestOfBytes(config)];
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: json,
      config: { mediaType: mediaTypes.oci.config, digest: configDigest, size: config.length },
      layers: [{ mediaType: mediaTypes.oci.layer, digest: layerDigest, size: layer.length }],
      subject: { mediaType: json, digest: configDigest, size: 1 },
      annotations: { a: 'b' },
    }),
  );
  const digest = digestOfBytes(manifest);
  const base = `/v2/${repository}`;
  const uploads = `${base}/blobs/uploads/`;
  const upload = uploads + liveUpload;

  function send(
    method: string,
    path: string,
    type?: string,
    body = Buffer.alloc(0),
    more: readonly [string, string][] = [],
  ) {
    const headers: [string, string][] = [['Host', host]];
    if (authorization !== undefined) headers.push(['Authorization', authorization]);
    if (type !== undefined) headers.push(['Content-Type', type]);
    headers.push(...more);
    if (['POST', 'PUT', 'PATCH'].includes(method)) headers.push(['Content-Length', String(body.length)]);
    return { method, path, headers, body };
  }

  return [
    send('GET', '/v2/'),
    send('HEAD', `${base}/blobs/${layerDigest}`),
    send('POST', uploads),
    send('POST', `${uploads}?digest=${layerDigest}`, octets, layer),
    send('POST', `${uploads}?digest-algorithm=sha512`),
    send('POST', `${uploads}?mount=${layerDigest}&from=${other}`),
    send('POST', `${uploads}?mount=${configDigest}`),
    send('PATCH', upload, octets, layer),
    send('PATCH', upload, octets, layer, [['Content-Range', `0-${layer.length - 1}`]]),
    send('GET', upload),
    send('PUT', `${upload}?digest=${layerDigest}`, octets, layer),
    send('PUT', `${upload}?digest=${configDigest}`, octets, config),
    send('DELETE', upload),
    send('PUT', `${base}/manifests/1.0`, json, manifest),
    send('PUT', `${base}/manifests/${digest}?tag=a&tag=b`, json, manifest),
    send('GET', `${base}/manifests/1.0`, undefined, undefined, [['Accept', json]]),
    send('HEAD', `${base}/manifests/${digest}`, undefined, undefined, [['Accept', '*/*']]),
    send('GET', `${base}/blobs/${layerDigest}`, undefined, undefined, [['Range', 'bytes=10-19']]),
    send('GET', `${base}/tags/list?n=2&last=a`),
    send('GET', '/v2/_catalog?n=10'),
    send('GET', `${base}/referrers/${configDigest}?artifactType=application%2Fx`),
    send('DELETE', `${base}/manifests/1.0`),
    send('DELETE', `${base}/manifests/${digest}`),
    send('DELETE', `${base}/blobs/${layerDigest}`),
  ];
}
