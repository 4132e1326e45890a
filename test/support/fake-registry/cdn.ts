import { randomBytes } from 'node:crypto';
import type { Catalogue } from './catalogue.ts';
import { contentOf } from './content.ts';
import { type Reply, reply } from './reply.ts';
import type { Arrival } from './requests.ts';

const SIGNATURE = 'X-Amz-Signature';

/**
 * The object store behind a registry that redirects. Like S3 it signs the method along with the path, and refuses a
 * request that brings an Authorization header beside the signature in its URL (moby/moby#13649).
 */
export class Cdn {
  readonly #catalogue: Catalogue;
  readonly #signatures = new Set<string>();

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
  }

  signedPath(method: string, digest: string): string {
    const nonce = randomBytes(12).toString('hex');
    const path = `/objects/${digest}`;
    this.#signatures.add(`${method} ${path} ${nonce}`);
    return `${path}?${SIGNATURE}=${nonce}`;
  }

  expireUrls(): void {
    this.#signatures.clear();
  }

  answer({ method, path, query, reference = '', scheme }: Arrival): Reply {
    if (scheme !== 'none') return xmlFailure(400, 'InvalidArgument');
    if (!this.#signatures.has(`${method} ${path} ${query.get(SIGNATURE)}`)) return xmlFailure(403, 'AccessDenied');
    const content = this.#catalogue.findBlobAnywhere(reference);
    if (content === undefined) return xmlFailure(404, 'NoSuchKey');
    const headers = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' };
    return { ...reply(200, headers, content), honoursRange: true };
  }
}

function xmlFailure(status: number, code: string): Reply {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code></Error>`;
  return reply(status, { 'content-type': 'application/xml' }, contentOf(body));
}
