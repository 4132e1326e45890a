import type { PushFailure } from '../hosted/failure.ts';
import type { Chunk, PushBlob } from '../hosted/push-blob.ts';
import { type Digest, type DigestAlgorithm, isAlgorithm } from '../oci/digest.ts';
import type { Repository } from '../oci/repository-name.ts';
import { fail as failed, ok, type Result } from '../oci/result.ts';
import type { Context } from './context.ts';
import { empty } from './empty.ts';
import { fail } from './fail.ts';
import type { BadRequest } from './failure.ts';
import { locateHosted, locateOther, type Policy } from './locate.ts';
import { readDigest } from './read-digest.ts';
import { requestBody } from './request-body.ts';

interface Deps {
  readonly blobs: PushBlob;
  readonly policy: () => Policy;
}

/** distribution-spec "Pushing Blobs": everything below `/v2/<name>/blobs/uploads/`. */
export class UploadRoutes {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `POST /v2/<name>/blobs/uploads/`: a mount, a whole blob with `?digest=`, or the beginning of an upload. */
  async begin(ctx: Context, name: string): Promise<void> {
    const located = locateHosted(ctx, name, this.#deps.policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const repository = located.value;
    const asked = readBegin(ctx);
    if (!asked.ok) return fail(ctx, asked.failure);
    const { mount, digest, algorithm } = asked.value;
    if (mount !== undefined && (await this.#mount(ctx, repository, mount))) return created(ctx, name, mount);

    const begun = await this.#deps.blobs.begin(repository, digest === undefined ? algorithm : 'sha256');
    if (!begun.ok) return this.#fail(ctx, name, begun.failure);
    if (digest === undefined) return stands(ctx, name, begun.value, 202);
    return this.#complete(ctx, { name, repository, id: begun.value.id, digest, chunk: undefined });
  }

  async #mount(ctx: Context, repository: Repository, digest: Digest): Promise<boolean> {
    const { from } = ctx.query;
    const { blobs, policy } = this.#deps;
    if (typeof from !== 'string') return blobs.mount(repository, digest, undefined, ctx.state.asker);
    // A name that makes no sense, or that the asker may not see, is one that nothing can be mounted from.
    const source = locateOther(ctx, from, policy());
    return source !== undefined && (await blobs.mount(repository, digest, source, ctx.state.asker));
  }

  /** `GET <location>`. */
  async status(ctx: Context, name: string, id: string): Promise<void> {
    const located = locateHosted(ctx, name, this.#deps.policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const status = await this.#deps.blobs.status(located.value, id);
    if (!status.ok) return this.#fail(ctx, name, status.failure);
    stands(ctx, name, status.value, 204);
  }

  /** `PATCH <location>`, as a chunk with its place, or as a stream without. */
  async append(ctx: Context, name: string, id: string): Promise<void> {
    const located = locateHosted(ctx, name, this.#deps.policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const chunk = readChunk(ctx);
    if (!chunk.ok) return fail(ctx, chunk.failure);
    const appended = await this.#deps.blobs.append(located.value, id, requestBody(ctx), chunk.value);
    if (!appended.ok) return this.#fail(ctx, name, appended.failure);
    stands(ctx, name, appended.value, 202);
  }

  /** `PUT <location>?digest=`, with the last bytes or none. */
  async complete(ctx: Context, name: string, id: string): Promise<void> {
    const located = locateHosted(ctx, name, this.#deps.policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const digest = readDigest(ctx, ctx.query['digest']);
    if (!digest.ok) return fail(ctx, digest.failure);
    const chunk = readChunk(ctx);
    if (!chunk.ok) return fail(ctx, chunk.failure);
    const [repository, value] = [located.value, digest.value];
    await this.#complete(ctx, { name, repository, id, digest: value, chunk: chunk.value });
  }

  async #complete(
    ctx: Context,
    push: {
      readonly name: string;
      readonly repository: Repository;
      readonly id: string;
      readonly digest: Digest;
      readonly chunk: Chunk | undefined;
    },
  ): Promise<void> {
    const { name, repository, id, digest, chunk } = push;
    const rest = { body: requestBody(ctx), chunk };
    const completed = await this.#deps.blobs.complete(repository, id, rest, digest);
    if (!completed.ok) return this.#fail(ctx, name, completed.failure);
    created(ctx, name, digest);
  }

  /** `DELETE <location>`. */
  async cancel(ctx: Context, name: string, id: string): Promise<void> {
    const located = locateHosted(ctx, name, this.#deps.policy(), 'push');
    if (!located.ok) return fail(ctx, located.failure);
    const cancelled = await this.#deps.blobs.cancel(located.value, id);
    if (!cancelled.ok) return this.#fail(ctx, name, cancelled.failure);
    ctx.state.entry.outcome = 'cancelled';
    ctx.status = 204;
  }

  #fail(ctx: Context, name: string, failure: PushFailure): void {
    fail(ctx, failure);
    // Where the upload stands is what the client has to know to go on with it.
    if (failure.kind === 'chunk-out-of-order') describe(ctx, name, failure);
  }
}

function stands(
  ctx: Context,
  name: string,
  upload: { readonly id: string; readonly size: number },
  status: number,
): void {
  describe(ctx, name, upload);
  ctx.state.entry.outcome = 'upload';
  empty(ctx, status);
}

/** An empty upload stands at `0-0`, as in the registry that clients were made for. */
function describe(ctx: Context, name: string, { id, size }: { readonly id: string; readonly size: number }): void {
  ctx.set('Location', `/v2/${name}/blobs/uploads/${id}`);
  ctx.set('Range', `0-${Math.max(0, size - 1)}`);
  ctx.set('Docker-Upload-UUID', id);
}

function created(ctx: Context, name: string, digest: Digest): void {
  ctx.state.entry.outcome = 'pushed';
  ctx.state.entry.reference = digest;
  ctx.set('Location', `/v2/${name}/blobs/${digest}`);
  ctx.set('Docker-Content-Digest', digest);
  empty(ctx, 201);
}

interface Begin {
  readonly mount: Digest | undefined;
  readonly digest: Digest | undefined;
  readonly algorithm: DigestAlgorithm;
}

function readBegin(ctx: Context): Result<Begin, BadRequest> {
  const { query } = ctx;
  const mount = query['mount'] === undefined ? undefined : readDigest(ctx, query['mount']);
  if (mount?.ok === false) return mount;
  const digest = query['digest'] === undefined ? undefined : readDigest(ctx, query['digest']);
  if (digest?.ok === false) return digest;
  const algorithm = query['digest-algorithm'] ?? 'sha256';
  if (Array.isArray(algorithm) || !isAlgorithm(algorithm)) {
    return failed({ kind: 'digest-invalid', reason: 'digest-algorithm is neither sha256 nor sha512' });
  }
  return ok({ mount: mount?.value, digest: digest?.value, algorithm });
}

const contentRange = /^(\d{1,15})-(\d{1,15})$/;

/** `Content-Range: <first>-<last>` (distribution-spec "Pushing a blob in chunks"); undefined without one. */
function readChunk({ headers }: Context): Result<Chunk | undefined, BadRequest> {
  const header = headers['content-range'];
  if (header === undefined) return ok(undefined);
  const match = contentRange.exec(header);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || last < first) {
    return failed({ kind: 'chunk-invalid', reason: 'Content-Range reads <first byte>-<last byte>' });
  }
  const length = headers['content-length'];
  if (length !== undefined && Number(length) !== last - first + 1) {
    return failed({
      kind: 'chunk-invalid',
      reason: `Content-Range has ${last - first + 1} bytes, Content-Length ${length}`,
    });
  }
  return ok({ first, last });
}
