import type { Catalogue } from './catalogue.ts';
import { contentOf } from './content.ts';
import { pullLimitReached, statusReply } from './faults.ts';
import type { PullLimit } from './pull-limit.ts';
import { failure, jsonReply, type Reply, reply } from './reply.ts';
import type { Arrival } from './requests.ts';

/** Facts about the registry that change while it runs. */
interface PullApiSetup {
  readonly catalogue: Catalogue;
  /** Where the bytes of a blob are, for a registry that does not serve them itself. */
  readonly blobLocation: (method: string, digest: string) => string | undefined;
  readonly pullLimit: () => PullLimit | undefined;
}

/** The pull half of the OCI distribution specification, to a client that has already been let in. */
export function answerPull(request: Arrival, setup: PullApiSetup): Reply {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return failure(405, 'UNSUPPORTED', 'this registry is read-only', { allow: 'GET, HEAD' });
  }
  switch (request.kind) {
    case 'ping':
      return jsonReply(200, {});
    case 'manifest':
      return answerManifest(request, setup);
    case 'blob':
      return answerBlob(request, setup);
    case 'tags':
      return answerTags(request, setup.catalogue);
    default:
      return failure(404, 'UNSUPPORTED', 'no such endpoint');
  }
}

function answerManifest({ method, repository = '', reference = '', headers }: Arrival, setup: PullApiSetup): Reply {
  const manifest = setup.catalogue.findManifest(repository, reference);
  if (manifest === undefined) return failure(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
  const limit = setup.pullLimit();
  if (method === 'GET' && limit?.spend() === false) return statusReply(pullLimitReached(limit.headers));

  const etag = `"${manifest.digest}"`;
  const about = { 'docker-content-digest': manifest.digest, etag, ...limit?.headers };
  if (headers['if-none-match'] === etag) return { ...reply(304, about), contentLength: 'nothing' };
  return reply(200, { 'content-type': manifest.mediaType, ...about }, contentOf(manifest.bytes));
}

function answerBlob({ method, repository = '', reference = '' }: Arrival, setup: PullApiSetup): Reply {
  const content = setup.catalogue.findBlob(repository, reference);
  if (content === undefined) return failure(404, 'BLOB_UNKNOWN', 'blob unknown to registry');
  const location = setup.blobLocation(method, reference);
  if (location !== undefined) return reply(307, { location, 'docker-content-digest': reference });
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': reference,
    'accept-ranges': 'bytes',
    etag: `"${reference}"`,
  };
  return { ...reply(200, headers, content), honoursRange: true };
}

function answerTags({ repository = '', query }: Arrival, catalogue: Catalogue): Reply {
  const all = catalogue.tagsOf(repository);
  if (all === undefined) return failure(404, 'NAME_UNKNOWN', 'repository name not known to registry');
  const last = query.get('last') ?? '';
  const n = query.has('n') ? Number(query.get('n')) : all.length;
  if (!Number.isSafeInteger(n) || n < 0) return failure(400, 'PAGINATION_NUMBER_INVALID', 'invalid number of results');

  const rest = all.filter((tag) => tag > last);
  const tags = rest.slice(0, n);
  const end = tags.at(-1);
  const next =
    end === undefined || tags.length === rest.length
      ? {}
      : { link: `</v2/${repository}/tags/list?n=${n}&last=${encodeURIComponent(end)}>; rel="next"` };
  return jsonReply(200, { name: repository, tags }, next);
}
