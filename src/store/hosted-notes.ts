import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { HostedNotes, ManifestNote, TagNote, UnreadableNote } from '../hosted/ports.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { parseReference, type Reference, type Tag } from '../oci/reference.ts';
import { parseRepositoryName, type RepositoryName } from '../oci/repository-name.ts';
import { ensureDirectory, renameDurably, syncDirectory, unlessMissing } from '../ops/durable-files.ts';
import { digestOfLeftover, fileNameOf, type Layout } from './layout.ts';
import type { Room } from './room.ts';

/** Read at once when all are read. */
const readAtOnce = 32;

/** A block of the disk each. */
const noteBytes = 4_096;

const manifestNote = z.object({ mediaType: z.string(), pushedAt: z.int() });
const tagNote = z.object({ digest: z.string(), pushedAt: z.int() });

/** Notes as small JSON files. A file appears whole under its name, and is on disk with its directory before a call resolves. */
export class DiskHostedNotes implements HostedNotes {
  /** There was no directory for them: nothing was ever hosted here, or somebody has removed it. */
  readonly isNew: boolean;
  readonly #layout: Layout;
  readonly #room: Room;

  private constructor(layout: Layout, room: Room, isNew: boolean) {
    this.#layout = layout;
    this.#room = room;
    this.isNew = isNew;
  }

  static async open(layout: Layout, room: Room): Promise<DiskHostedNotes> {
    const isNew = (await readdir(layout.hosted).catch(unlessMissing)) === undefined;
    await ensureDirectory(layout.hosted);
    return new DiskHostedNotes(layout, room, isNew);
  }

  putManifest(name: RepositoryName, { digest, mediaType, pushedAt }: ManifestNote): Promise<void> {
    return this.#write(this.#manifestPath(name, digest), { mediaType, pushedAt });
  }

  removeManifest(name: RepositoryName, digest: Digest): Promise<void> {
    return removeDurably(this.#layout.notesOf(name, '_manifests'), fileNameOf(digest));
  }

  putTag(name: RepositoryName, { tag, digest, pushedAt }: TagNote): Promise<void> {
    return this.#write(join(this.#layout.notesOf(name, '_tags'), tag), { digest, pushedAt });
  }

  removeTag(name: RepositoryName, tag: Tag): Promise<void> {
    return removeDurably(this.#layout.notesOf(name, '_tags'), tag);
  }

  #manifestPath(name: RepositoryName, digest: Digest): string {
    return join(this.#layout.notesOf(name, '_manifests'), fileNameOf(digest));
  }

  #write(path: string, note: object): Promise<void> {
    return this.#room.onDisk(noteBytes, () => this.#writeOnce(path, note));
  }

  async #writeOnce(path: string, note: object): Promise<void> {
    const incoming = join(this.#layout.incoming, randomUUID());
    try {
      const handle = await open(incoming, 'wx');
      try {
        await handle.writeFile(`${JSON.stringify(note)}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await renameDurably(incoming, path);
    } catch (error) {
      await rm(incoming, { force: true });
      throw error;
    }
  }

  async *repositories(): ReturnType<HostedNotes['repositories']> {
    for await (const name of this.#names('')) {
      const manifests = await this.#read(name, '_manifests', readManifestNote);
      const tags = await this.#read(name, '_tags', readTagNote);
      if (manifests.files + tags.files === 0) continue;
      const unreadable = [...manifests.unreadable, ...tags.unreadable];
      yield { name, manifests: manifests.notes, tags: tags.notes, unreadable };
    }
  }

  /** Names of repositories at and below a directory. A stray file or directory is not ours. */
  async *#names(below: string): AsyncIterable<RepositoryName> {
    const entries = await readdir(join(this.#layout.hosted, below), { withFileTypes: true });
    const directories = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    const name = parseRepositoryName(below);
    if (name.ok && directories.some((entry) => entry === '_manifests' || entry === '_tags')) yield name.value;
    for (const entry of directories.sort()) {
      if (!entry.startsWith('_')) yield* this.#names(below === '' ? entry : `${below}/${entry}`);
    }
  }

  async #read<T>(
    name: RepositoryName,
    kind: '_manifests' | '_tags',
    parse: (file: string, text: string) => T | undefined,
  ): Promise<{ readonly notes: readonly T[]; readonly unreadable: readonly UnreadableNote[]; readonly files: number }> {
    const directory = this.#layout.notesOf(name, kind);
    const files = ((await readdir(directory).catch(unlessMissing)) ?? []).sort();
    const notes: T[] = [];
    const unreadable: UnreadableNote[] = [];
    for (let from = 0; from < files.length; from += readAtOnce) {
      const some = files.slice(from, from + readAtOnce);
      const texts = await Promise.all(
        some.map((file) => readFile(join(directory, file), 'utf8').catch(unlessDirectory)),
      );
      for (const [at, file] of some.entries()) {
        const text = texts[at];
        const note = text === undefined ? undefined : parse(file, text);
        if (note === undefined)
          unreadable.push({
            place: join('hosted', name, kind, file),
            about: text === undefined ? undefined : aboutOf(kind, file),
          });
        else notes.push(note);
      }
    }
    return { notes, unreadable, files: files.length };
  }
}

function readManifestNote(file: string, text: string): ManifestNote | undefined {
  const digest = digestOfLeftover(file);
  const note = manifestNote.safeParse(parseJson(text));
  return digest && note.success ? { digest, ...note.data } : undefined;
}

function readTagNote(file: string, text: string): TagNote | undefined {
  const tag = parseReference(file);
  const note = tagNote.safeParse(parseJson(text));
  const digest = note.success ? parseDigest(note.data.digest) : undefined;
  if (!tag.ok || tag.value.kind !== 'tag' || !note.success || !digest?.ok) return undefined;
  return { tag: tag.value.tag, digest: digest.value, pushedAt: note.data.pushedAt };
}

function aboutOf(kind: '_manifests' | '_tags', file: string): Reference | undefined {
  if (kind === '_manifests') {
    const digest = digestOfLeftover(file);
    return digest && { kind: 'digest', digest };
  }
  const reference = parseReference(file);
  return reference.ok ? reference.value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Somebody has made one where a note should be: it notes nothing, and stops nothing. */
function unlessDirectory(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'EISDIR') return undefined;
  throw error;
}

async function removeDurably(directory: string, file: string): Promise<void> {
  await rm(join(directory, file), { force: true });
  await syncDirectory(directory).catch(unlessMissing);
}
