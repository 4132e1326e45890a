/**
 * What a registry may lack and still be one: optional in distribution-spec v1.1, only in its main branch, or stricter
 * than it asks for. A check that needs one of these is named after it.
 */
export const abilities = {
  referrers: 'GET referrers',
  subject: 'OCI-Subject in the answer to a manifest that has a subject',
  tagParameters: 'several ?tag= on PUT of a manifest by digest (main)',
  digestAlgorithm: 'POST ?digest-algorithm= is looked at (main)',
  sha512: 'content under sha512 digests',
  mountWithoutFrom: 'mount of a blob whose repository is not named',
  orderedChunks: '416 for a chunk that does not begin where the last one ended',
  checkedContentRange: 'a Content-Range that is garbage or disagrees with the body is refused',
  brokenChunk: 'an upload goes on after a PATCH whose connection broke',
  rangeBehindEnd: '416 for a Range that begins behind the last byte',
  uploadUnknown: 'BLOB_UPLOAD_UNKNOWN, and no other code, for an upload that nobody began',
  deleteTag: 'DELETE of a tag alone',
  neverPushedTags: 'tags/list of a repository without a push is empty, not 404',
  sortedTags: 'tags/list is in order',
  pagedTags: 'tags/list takes n and last, and links to the next page',
  checkedPageSize: 'n that is no number is refused',
  manifestErrors: '400 for JSON that is no manifest',
  foreignLayers: 'an OCI layer with urls need not be in the registry',
  tooLarge: '413 for a manifest above 4 MiB',
  nameGrammar: 'names in capitals, or of more than 255 characters, are invalid',
  nameErrors: 'an invalid repository name is answered with an OCI error body',
  methodErrors: '405 with an OCI error body',
  tagErrors: '400 for an invalid tag',
  digestErrors: 'a malformed digest of a manifest is 400 DIGEST_INVALID',
} as const;

export type Ability = keyof typeof abilities;
