import type { HostedLedger } from '../hosted/ports.ts';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { Repository } from '../oci/repository-name.ts';
import type { Fact } from './facts.ts';
import type { HotLedger } from './hot-ledger.ts';
import type { Journal } from './journal.ts';
import type { SqliteLedger } from './sqlite-ledger.ts';

const isHosted = { isHosted: true } as const;

interface Parts {
  readonly sqlite: SqliteLedger;
  readonly journal: Pick<Journal, 'append'>;
  /** Whose memory has to let go of what is written here. */
  readonly hot: Pick<HotLedger, 'writingPast'>;
}

/** The ledger's side of hosting: written to the file, told to the journal in the same tick, and forgotten by what is hot. */
export class HostedIndex implements HostedLedger {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get #sqlite(): SqliteLedger {
    return this.#parts.sqlite;
  }

  #write<T>(
    what: { readonly repository: Repository; readonly digest?: Digest; readonly tags?: readonly Tag[] },
    work: () => { readonly result: T; readonly facts: readonly (Fact | undefined)[] },
  ): Promise<T> {
    return this.#parts.hot.writingPast(what, () => {
      const { result, facts } = this.#sqlite.transaction(work);
      this.#parts.journal.append(facts.filter((fact) => fact !== undefined));
      return Promise.resolve(result);
    });
  }

  addUpload: HostedLedger['addUpload'] = (repository, blob) => {
    const { digest } = blob;
    return this.#write({ repository, digest }, () => {
      this.#sqlite.hosted.addUpload(repository, blob);
      return { result: isHosted, facts: this.#held(repository, digest) };
    });
  };

  addMount: HostedLedger['addMount'] = (repository, digest, at) =>
    this.#write({ repository, digest }, () => {
      this.#sqlite.hosted.addMount(repository, digest, at);
      return { result: isHosted, facts: this.#held(repository, digest) };
    });

  addHostedManifest: HostedLedger['addHostedManifest'] = (repository, manifest, { children, referrer }) =>
    this.#write({ repository, digest: manifest.digest }, () => {
      this.#sqlite.hosted.addManifest(repository, manifest, children, referrer);
      return { result: isHosted, facts: this.#held(repository, manifest.digest) };
    });

  #held(repository: Repository, digest: Digest): readonly (Fact | undefined)[] {
    const { rows } = this.#sqlite;
    return [rows.blob(digest), rows.link(repository, digest)];
  }

  setHostedTag: HostedLedger['setHostedTag'] = (repository, tag, digest, pushedAt) =>
    this.#write({ repository, tags: [tag] }, () => {
      this.#sqlite.hosted.setTag(repository, tag, digest, pushedAt);
      return { result: undefined, facts: [this.#sqlite.rows.tag(repository, tag)] };
    });

  removeHostedTag: HostedLedger['removeHostedTag'] = (repository, tag) =>
    this.#write({ repository, tags: [tag] }, () => {
      this.#sqlite.hosted.removeTag(repository, tag);
      return { result: undefined, facts: [{ is: 'no tag', repository, tag }] };
    });

  unlink: HostedLedger['unlink'] = (repository, digest) => {
    const tags = this.#sqlite.hosted.tags(repository).filter((tag) => tag.digest === digest);
    return this.#write({ repository, digest, tags: tags.map(({ tag }) => tag) }, () => {
      const dropped = this.#sqlite.hosted.unlink(repository, digest);
      const noTags = dropped.map((tag): Fact => ({ is: 'no tag', repository, tag }));
      return { result: undefined, facts: [{ is: 'no link', repository, digest }, ...noTags] };
    });
  };

  dropStray: HostedLedger['dropStray'] = (repository, digest, before) => {
    this.#sqlite.flushMarks();
    return this.#write({ repository, digest }, () => {
      const result = this.#sqlite.hosted.dropStray(repository, digest, before);
      return { result, facts: result ? [{ is: 'no link', repository, digest }] : [] };
    });
  };

  takeBack: HostedLedger['takeBack'] = (digest, before, hasRoom) => {
    this.#sqlite.flushMarks();
    return this.#parts.hot.writingPast({ digest }, () => {
      const result = this.#sqlite.transaction(() => this.#sqlite.hosted.takeBack(digest, before, hasRoom));
      const blob = this.#sqlite.rows.blob(digest);
      if (result === 'gone' || result === 'cached') this.#parts.journal.append([blob ?? { is: 'forgotten', digest }]);
      return Promise.resolve(result);
    });
  };

  async holders(digest: Digest, limit: number): ReturnType<HostedLedger['holders']> {
    return this.#sqlite.hosted.holders(digest, limit);
  }

  async notHeld(...[repository, children]: Parameters<HostedLedger['notHeld']>): ReturnType<HostedLedger['notHeld']> {
    return this.#sqlite.hosted.notHeld(repository, children);
  }

  async isListedAsBlob(repository: Repository, digest: Digest): ReturnType<HostedLedger['isListedAsBlob']> {
    return this.#sqlite.hosted.isListedAsBlob(repository, digest);
  }

  async hostedTags(repository: Repository): ReturnType<HostedLedger['hostedTags']> {
    return this.#sqlite.hosted.tags(repository);
  }

  async hostedManifests(repository: Repository): ReturnType<HostedLedger['hostedManifests']> {
    return this.#sqlite.hosted.manifests(repository);
  }

  async untagged(repository: Repository, before: number): ReturnType<HostedLedger['untagged']> {
    this.#sqlite.flushMarks();
    return this.#sqlite.hosted.untagged(repository, before);
  }

  async lacksSomething(repository: Repository): ReturnType<HostedLedger['lacksSomething']> {
    return this.#sqlite.hosted.lacksSomething(repository);
  }

  async hostedRepositories(): ReturnType<HostedLedger['hostedRepositories']> {
    return this.#sqlite.hosted.repositories();
  }

  async lost(limit: number): ReturnType<HostedLedger['lost']> {
    return this.#sqlite.hosted.lost(limit);
  }

  async referrers(
    ...[repository, subject, page]: Parameters<HostedLedger['referrers']>
  ): ReturnType<HostedLedger['referrers']> {
    return this.#sqlite.hosted.referrers(repository, subject, page);
  }

  async strayLinks(page: Parameters<HostedLedger['strayLinks']>[0]): ReturnType<HostedLedger['strayLinks']> {
    this.#sqlite.flushMarks();
    return this.#sqlite.hosted.strayLinks(page);
  }

  async unheld(page: Parameters<HostedLedger['unheld']>[0]): ReturnType<HostedLedger['unheld']> {
    this.#sqlite.flushMarks();
    return this.#sqlite.hosted.unheld(page);
  }
}
