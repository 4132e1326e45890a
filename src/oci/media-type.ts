export const ociIndex = 'application/vnd.oci.image.index.v1+json';

/** Media types of manifests, and what we ask upstreams for. */
const mediaTypes = {
  ociIndex,
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

/**
 * The one Accept header sent with every manifest request, whatever the client sent: a registry may rewrite or hide what
 * the asker does not name, and that must never decide what a tag means for everybody else.
 */
export const acceptedManifests = [...Object.values(mediaTypes), '*/*;q=0.1'].join(', ');

/** The type without its parameters, in lower case: `Application/JSON; charset=utf-8` is `application/json`. */
export function bareMediaType(header: string): string {
  return (header.split(';', 1)[0] ?? '').trim().toLowerCase();
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList;
}

export function isImageType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

/** Types of which a manifest need not say itself that it is one: to Docker's and the old artifacts its `mediaType` belongs. */
export function mayBeUnstated(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.ociIndex;
}

export function isArtifactType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociArtifact;
}

/** Types that a manifest may have. A web page that answers to everything, as a captive portal does, has none of them. */
export function isManifestType(mediaType: string): boolean {
  return /^application\/(json|.+[+.]json)$/.test(mediaType) || /^application\/vnd\..+\+prettyjws$/.test(mediaType);
}
