import type { Asker } from '../mirror/asker.ts';
import { type Clock, NoRoom } from '../mirror/ports.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { PushFailure } from './failure.ts';
import type { Mounts } from './mounts.ts';
import type { HostedLedger, Upload, UploadState, Uploads } from './ports.ts';

/** A chunk as its `Content-Range` describes it: first and last byte, both included. */
export interface Chunk {
  readonly first: number;
  readonly last: number;
}

interface Deps {
  readonly uploads: Uploads;
  readonly index: HostedLedger;
  readonly mounts: Mounts;
  readonly clock: Clock;
}

type Body = AsyncIterable<Uint8Array>;

/** Blobs as clients push them: in one request, in two, in chunks, or by mounting what is here already. */
export class PushBlob {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  mount(repository: Repository, digest: Digest, from: Repository | undefined, asker: Asker): Promise<boolean> {
    return this.#deps.mounts.mount(repository, digest, from, asker);
  }

  begin(repository: Repository, algorithm: DigestAlgorithm): Promise<Result<UploadState, PushFailure>> {
    return unlessFull(async () => ok(await this.#deps.uploads.begin(repository.name, algorithm)));
  }

  async status(repository: Repository, id: string): Promise<Result<UploadState, PushFailure>> {
    const upload = await this.#deps.uploads.find(repository.name, id);
    return upload === undefined ? fail(unknownUpload(repository)) : ok(upload);
  }

  /** Without a chunk's place, what comes is what is next: a stream of unknown length, as Docker sends it. */
  async append(
    repository: Repository,
    id: string,
    body: Body,
    chunk: Chunk | undefined,
  ): Promise<Result<UploadState, PushFailure>> {
    const upload = await this.#deps.uploads.find(repository.name, id);
    if (upload === undefined) return fail(unknownUpload(repository));
    return unlessFull(() => append(upload, body, chunk));
  }

  /** With the rest of the bytes, if there is any, and the digest of all of them. */
  async complete(
    repository: Repository,
    id: string,
    rest: { readonly body: Body; readonly chunk: Chunk | undefined },
    digest: Digest,
  ): Promise<Result<void, PushFailure>> {
    const upload = await this.#deps.uploads.find(repository.name, id);
    if (upload === undefined) return fail(unknownUpload(repository));
    return unlessFull(async () => {
      const appended = await append(upload, rest.body, rest.chunk);
      if (!appended.ok) return appended;
      const { index, clock } = this.#deps;
      const record = (size: number) => index.addUpload(repository, { digest, size, storedAt: clock.now() });
      if (await upload.complete(digest, record)) return ok(undefined);
      return fail({
        kind: 'digest-invalid',
        reason: `the bytes that were pushed are not ${digest}; the upload is over`,
      });
    });
  }

  async cancel(repository: Repository, id: string): Promise<Result<void, PushFailure>> {
    const upload = await this.#deps.uploads.find(repository.name, id);
    if (upload === undefined) return fail(unknownUpload(repository));
    await upload.cancel();
    return ok(undefined);
  }
}

async function append(upload: Upload, body: Body, chunk: Chunk | undefined): Promise<Result<UploadState, PushFailure>> {
  const { id } = upload;
  const span = chunk && { first: chunk.first, end: chunk.last + 1 };
  const { ok: isTaken, size } = await upload.append(body, span);
  if (!isTaken) return fail({ kind: 'chunk-out-of-order', id, size });
  if (span !== undefined && size !== span.end) {
    return fail({
      kind: 'chunk-invalid',
      reason: `the chunk was to end with byte ${chunk?.last}, and ${size} bytes came`,
    });
  }
  return ok({ id, size });
}

export async function unlessFull<T>(work: () => Promise<Result<T, PushFailure>>): Promise<Result<T, PushFailure>> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NoRoom)) throw error;
    const reason = 'the disk of this server is full; nothing was stored, push again when there is room';
    return fail({ kind: 'push-no-room', reason });
  }
}

function unknownUpload(repository: Repository): PushFailure {
  return {
    kind: 'upload-unknown',
    reason: `${repositoryText(repository)} has no such upload: it is complete, cancelled or too old; begin a new one`,
  };
}
