import type { BlobReader, BlobStore, Ledger } from '../mirror/ports.ts';
import { readStored } from '../mirror/read-stored.ts';
import { algorithmOf, type Digest, Digester } from '../oci/digest.ts';
import { type Child, childrenOf, kinshipOf } from '../oci/manifest.ts';
import { hostedRepository, type Repository, type RepositoryName } from '../oci/repository-name.ts';
import { limits } from './limits.ts';
import type { HostedLedger, HostedNotes, ManifestNote, NotedRepository, TagNote, UnreadableNote } from './ports.ts';

interface Restoring {
  readonly notes: HostedNotes;
  /** Somebody has removed the notes, so that the ledger is what is left of the truth. */
  readonly areNotesLost: boolean;
  readonly ledger: Ledger;
  readonly index: HostedLedger;
  readonly store: Pick<BlobStore, 'open'>;
  /** The ledger was made anew: every piece of every image is looked at, not only the manifests. */
  readonly isDeep: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface Restored {
  readonly repositories: number;
  readonly manifests: number;
  readonly tags: number;
  /** What was noted and could not be brought back, a sentence each. */
  readonly lost: readonly string[];
}

/**
 * After a stop that was not clean, and after the ledger was made anew: what was noted of hosted images is true, and the ledger is made
 * to agree with it before anything is served. A manifest that was pushed but not noted was never confirmed.
 */
export async function restoreHosted(restoring: Restoring): Promise<Restored> {
  const { notes, index, areNotesLost } = restoring;
  const indexed = await index.hostedRepositories();
  if (areNotesLost) await writeNotes(restoring, indexed);
  const counts = { repositories: 0, manifests: 0, tags: 0 };
  const lost: string[] = [];
  const seen = new Set<RepositoryName>();
  for await (const noted of notes.repositories()) {
    const { name } = noted;
    seen.add(name);
    counts.repositories++;
    const { manifests, tags, unreadable } = await writeDamagedAnew(restoring, noted);
    lost.push(...unreadable.map(({ place }) => `${place} could not be read: what it noted is not served.`));
    const repository = hostedRepository(name);
    for (const note of inOrder(manifests)) {
      const problem = await restoreManifest(restoring, repository, note);
      if (problem === undefined) counts.manifests++;
      else lost.push(`The hosted ${name}@${note.digest} ${problem}.`);
    }
    await dropUnnoted(restoring, repository, { manifests, tags });
    for (const note of tags) {
      if (await restoreTag(restoring, repository, note)) counts.tags++;
      else lost.push(`The hosted ${name}:${note.tag} stands for ${note.digest}, which is not there.`);
    }
  }
  for (const name of indexed) {
    if (!seen.has(name)) await dropUnnoted(restoring, hostedRepository(name), { manifests: [], tags: [] });
  }
  return { ...counts, lost };
}

async function writeNotes({ notes, ledger, index, now }: Restoring, names: readonly RepositoryName[]): Promise<void> {
  for (const name of names) {
    const repository = hostedRepository(name);
    for (const digest of await index.hostedManifests(repository)) {
      const record = await ledger.manifest(digest);
      if (record === undefined) continue;
      await notes.putManifest(name, { digest, mediaType: record.mediaType, pushedAt: record.storedAt || now() });
    }
    for (const note of await index.hostedTags(repository)) await notes.putTag(name, note);
  }
}

/** A damaged note of something that the ledger knows costs nothing. Gives what is noted then. */
async function writeDamagedAnew({ notes, ledger }: Restoring, noted: NotedRepository): Promise<NotedRepository> {
  const { name } = noted;
  const repository = hostedRepository(name);
  const [manifests, tags, unreadable] = [[...noted.manifests], [...noted.tags], [] as UnreadableNote[]];
  for (const note of noted.unreadable) {
    const { about } = note;
    if (about?.kind === 'tag') {
      const known = await ledger.tag(repository, about.tag);
      if (known !== undefined) {
        const tag = { tag: about.tag, digest: known.digest, pushedAt: known.checkedAt };
        await notes.putTag(name, tag);
        tags.push(tag);
        continue;
      }
    }
    const known = about?.kind === 'digest' ? await ledger.manifest(about.digest) : undefined;
    if (known !== undefined && (await ledger.isLinked(repository, known.digest))) {
      const { digest, mediaType, storedAt } = known;
      await notes.putManifest(name, { digest, mediaType, pushedAt: storedAt });
      manifests.push({ digest, mediaType, pushedAt: storedAt });
      continue;
    }
    unreadable.push(note);
  }
  return { name, manifests, tags, unreadable };
}

/** As they were pushed: what an index lists comes before it. */
function inOrder(notes: readonly ManifestNote[]): readonly ManifestNote[] {
  return notes.toSorted((one, other) => one.pushedAt - other.pushedAt);
}

/** Undefined when it is there as it was, else what is wrong with it. */
async function restoreManifest(
  restoring: Restoring,
  repository: Repository,
  { digest, mediaType, pushedAt }: ManifestNote,
): Promise<string | undefined> {
  const { ledger, index, store, isDeep } = restoring;
  const isIndexed = (await ledger.manifest(digest)) !== undefined && (await ledger.isLinked(repository, digest));
  if (isIndexed && !isDeep) return undefined;
  const bytes = await readStored(store, digest);
  if (bytes === undefined) return 'has no manifest under blobs/ any more, or a damaged one';
  const children = childrenOf(bytes, mediaType);
  const kinship = kinshipOf(bytes, mediaType);
  if (!children.ok || !kinship.ok) return 'has a manifest that cannot be understood';
  const missing: Digest[] = [];
  for (const child of children.value) {
    if (!(await restoreChild(restoring, repository, child, pushedAt))) missing.push(child.digest);
  }
  const { subject } = kinship.value;
  await index.addHostedManifest(
    repository,
    { digest, mediaType, size: bytes.length, storedAt: pushedAt },
    { children: children.value, referrer: subject && { ...kinship.value, subject } },
  );
  return missing.length === 0 ? undefined : `lacks ${missing.join(', ')}`;
}

/** It was held when the manifest was taken. False when its bytes are gone. */
async function restoreChild(
  { index, store }: Restoring,
  repository: Repository,
  { digest, size, kind }: Child,
  storedAt: number,
): Promise<boolean> {
  await using reader = await store.open(digest);
  if (reader === undefined) return false;
  // What a manifest states was not looked at when it was pushed, so only the bytes can tell a wrong statement from a damaged file.
  if (reader.size !== size && !(await isSound(reader, digest))) return false;
  // A manifest has a note of its own.
  if (kind === 'blob') await index.addUpload(repository, { digest, size: reader.size, storedAt });
  return true;
}

async function isSound(reader: BlobReader, digest: Digest): Promise<boolean> {
  const digester = new Digester(algorithmOf(digest));
  const piece = Buffer.allocUnsafe(limits.hashPieceBytes);
  for (let position = 0; position < reader.size; ) {
    const count = await reader.read(piece, position);
    if (count === 0) return false;
    digester.update(piece.subarray(0, count));
    position += count;
  }
  return digester.digest() === digest;
}

async function dropUnnoted(
  { index }: Restoring,
  repository: Repository,
  noted: { readonly manifests: readonly ManifestNote[]; readonly tags: readonly TagNote[] },
): Promise<void> {
  const manifests = new Set(noted.manifests.map(({ digest }) => digest));
  const tags = new Set(noted.tags.map(({ tag }) => tag));
  for (const { tag } of await index.hostedTags(repository)) {
    if (!tags.has(tag)) await index.removeHostedTag(repository, tag);
  }
  for (const digest of await index.hostedManifests(repository)) {
    // It may be a layer of another one, and the bytes of a manifest elsewhere.
    const isNeeded = manifests.has(digest) || (await index.isListedAsBlob(repository, digest));
    if (!isNeeded) await index.unlink(repository, digest);
  }
}

async function restoreTag(
  { ledger, index }: Restoring,
  repository: Repository,
  { tag, digest, pushedAt }: TagNote,
): Promise<boolean> {
  if ((await ledger.tag(repository, tag))?.digest !== digest) {
    await index.setHostedTag(repository, tag, digest, pushedAt);
  }
  return (await ledger.manifest(digest)) !== undefined;
}
