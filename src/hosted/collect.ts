import type { Digest } from '../oci/digest.ts';
import { hostedRepository, type RepositoryName } from '../oci/repository-name.ts';
import type { Turns } from '../ops/turns.ts';
import { limits } from './limits.ts';
import type { Policies, Retention } from './policies.ts';
import type { HeldBlob, HostedBlob, HostedLedger, HostedNotes, HostedStore, HostedTag } from './ports.ts';

/** What was removed, or would be: bytes of a blob, or what retention does not keep. */
export interface HostedGarbage {
  readonly kind: 'hosted blob' | 'hosted tag' | 'hosted manifest';
  /** `team/app:1.0` of a tag, the repository of a manifest. */
  readonly name?: string;
  readonly digest: Digest;
  readonly bytes: number;
}

interface Deps {
  readonly index: HostedLedger;
  readonly store: HostedStore;
  readonly notes: HostedNotes;
  readonly policies: Policies;
  readonly turns: Turns<string>;
}

interface Collection {
  /** Nothing that was pushed or used since goes; milliseconds since 1970. */
  readonly before: number;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** Removes what is hosted and serves nobody, beside pushes and pulls. */
export class Collect {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async *run(collection: Collection): AsyncIterable<HostedGarbage> {
    yield* this.#retain(collection);
    yield* this.#dropStrays(collection);
    yield* this.#takeBack(collection);
  }

  /** What the operator's policies do not keep: tags, and then manifests that no tag gives a use any more. */
  async *#retain(collection: Collection): AsyncIterable<HostedGarbage> {
    const { index, policies, turns } = this.#deps;
    for (const name of await index.hostedRepositories()) {
      if (collection.signal.aborted) return;
      const retention = policies.retentionOf(name);
      if (retention !== undefined) yield* await turns.take(name, () => this.#retainIn(name, retention, collection));
    }
  }

  async #retainIn(
    name: RepositoryName,
    retention: Retention,
    { before, dryRun }: Collection,
  ): Promise<readonly HostedGarbage[]> {
    const { index, notes } = this.#deps;
    const repository = hostedRepository(name);
    const removed: HostedGarbage[] = [];
    for (const { tag, digest } of notKept(await index.hostedTags(repository), retention)) {
      removed.push({ kind: 'hosted tag', name: `${name}:${tag}`, digest, bytes: 0 });
      if (dryRun) continue;
      await notes.removeTag(name, tag);
      await index.removeHostedTag(repository, tag);
    }
    const untagged = (await index.lacksSomething(repository)) ? [] : await index.untagged(repository, before);
    for (const digest of untagged) {
      removed.push({ kind: 'hosted manifest', name, digest, bytes: 0 });
      if (dryRun) continue;
      await notes.removeManifest(name, digest);
      await index.unlink(repository, digest);
    }
    return removed;
  }

  /** Blobs that were pushed, and then no manifest with them. Not where the manifest may be what was damaged. */
  async *#dropStrays({ before, dryRun, signal }: Collection): AsyncIterable<HostedGarbage> {
    const { index, turns } = this.#deps;
    for (let after: HeldBlob | undefined; ; ) {
      const page = await index.strayLinks({ before, after, limit: limits.collectedAtOnce });
      const lacking = new Map<RepositoryName, boolean>();
      for (const { repository, digest, size } of page) {
        if (signal.aborted) return;
        const isLacking = lacking.get(repository.name) ?? (await index.lacksSomething(repository));
        lacking.set(repository.name, isLacking);
        if (isLacking) continue;
        if (dryRun && (await this.#isOnlyHolder(digest))) yield { kind: 'hosted blob', digest, bytes: size };
        if (dryRun) continue;
        await turns.take(repository.name, () => index.dropStray(repository, digest, before));
      }
      after = page.at(-1);
      if (after === undefined) return;
    }
  }

  /** What others hold stays, however many drop it. */
  async #isOnlyHolder(digest: Digest): Promise<boolean> {
    return (await this.#deps.index.holders(digest, 2)).length === 1;
  }

  /** Bytes that no repository holds. What lists others goes before them: until a pass finds nothing more. */
  async *#takeBack(collection: Collection): AsyncIterable<HostedGarbage> {
    for (let went = true; went; ) {
      went = false;
      for await (const garbage of this.#takeBackOnce(collection)) {
        went = !collection.dryRun;
        yield garbage;
      }
    }
  }

  async *#takeBackOnce({ before, dryRun, signal }: Collection): AsyncIterable<HostedGarbage> {
    const { index, store } = this.#deps;
    const takeBack = async ({ digest, size }: HostedBlob) =>
      store.unhost(digest, size, (hasRoom) => index.takeBack(digest, before, hasRoom));
    for (let after: string | undefined; ; ) {
      const page = await index.unheld({ before, after, limit: limits.collectedAtOnce });
      for (const blob of page) {
        if (signal.aborted) return;
        if (dryRun || (await takeBack(blob)) === 'gone') {
          yield { kind: 'hosted blob', digest: blob.digest, bytes: blob.size };
        }
      }
      after = page.at(-1)?.digest;
      if (after === undefined) return;
    }
  }
}

function notKept(tags: readonly HostedTag[], { keepLast, isKept }: Retention): readonly HostedTag[] {
  return tags
    .filter(({ tag }) => !isKept(tag))
    .toSorted((one, other) => other.pushedAt - one.pushedAt)
    .slice(keepLast);
}
