import type { Ledger } from '../mirror/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import { type Repository, repositoryText } from '../oci/repository-name.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Turns } from '../ops/turns.ts';
import type { PushFailure } from './failure.ts';
import type { HostedLedger, HostedNotes } from './ports.ts';
import { unknownBlob } from './pull-hosted.ts';

/** What was removed: the manifest as a whole, or one of its tags. */
export interface Removed {
  readonly digest: Digest;
  readonly tag: Tag | undefined;
}

interface Deps {
  readonly ledger: Ledger;
  readonly index: HostedLedger;
  readonly notes: HostedNotes;
  readonly turns: Turns<string>;
}

/** `DELETE` of tags, manifests and blobs. Bytes that nothing needs any more go by garbage collection. */
export class Remove {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  manifest(repository: Repository, reference: Reference): Promise<Result<Removed, PushFailure>> {
    return this.#deps.turns.take(repository.name, () =>
      reference.kind === 'tag' ? this.#tag(repository, reference.tag) : this.#manifest(repository, reference.digest),
    );
  }

  /** Only the tag: others that stand for the same image stay, and so does the image. */
  async #tag(repository: Repository, tag: Tag): Promise<Result<Removed, PushFailure>> {
    const { ledger, index, notes } = this.#deps;
    const record = await ledger.tag(repository, tag);
    if (record === undefined) return fail(unknown(repository, `tag ${tag}`));
    await notes.removeTag(repository.name, tag);
    await index.removeHostedTag(repository, tag);
    return ok({ digest: record.digest, tag });
  }

  async #manifest(repository: Repository, digest: Digest): Promise<Result<Removed, PushFailure>> {
    const { ledger, index, notes } = this.#deps;
    // One that was damaged, and set aside, is known as no manifest any more. Its note is there, and so are its tags.
    const isDamaged = (await ledger.isLinked(repository, digest)) && (await ledger.blob(digest)) === undefined;
    if (!isDamaged && !(await index.hostedManifests(repository)).includes(digest))
      return fail(unknown(repository, `manifest ${digest}`));
    for (const { tag } of (await index.hostedTags(repository)).filter((entry) => entry.digest === digest)) {
      await notes.removeTag(repository.name, tag);
    }
    await notes.removeManifest(repository.name, digest);
    await index.unlink(repository, digest);
    return ok({ digest, tag: undefined });
  }

  async blob(repository: Repository, digest: Digest): Promise<Result<void, PushFailure>> {
    const { ledger, index, turns } = this.#deps;
    return turns.take(repository.name, async () => {
      const isManifest = (await ledger.manifest(digest)) !== undefined;
      if (isManifest || !(await ledger.isLinked(repository, digest))) return fail(unknownBlob(repository, digest));
      await index.unlink(repository, digest);
      return ok(undefined);
    });
  }
}

function unknown(repository: Repository, what: string): PushFailure {
  return { kind: 'manifest-unknown', reason: `${repositoryText(repository)}, which is hosted here, has no ${what}` };
}
