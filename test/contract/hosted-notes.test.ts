import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { HostedNotes, ManifestNote, TagNote } from '../../src/hosted/ports.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { Budget } from '../../src/store/budget.ts';
import { DiskHostedNotes } from '../../src/store/hosted-notes.ts';
import { Layout } from '../../src/store/layout.ts';
import { Room } from '../../src/store/room.ts';
import { digestNamed, repositoryNamed, tagNamed } from './words.ts';

const imageType = 'application/vnd.oci.image.manifest.v1+json';
const nameOf = (text: string) => repositoryNamed(`hosted/${text}`).name;
const app = nameOf('local/app');
const note: ManifestNote = { digest: digestNamed('manifest'), mediaType: imageType, pushedAt: 5 };
const tagged: TagNote = { tag: tagNamed('latest'), digest: note.digest, pushedAt: 6 };

class Place implements AsyncDisposable {
  readonly layout: Layout;

  private constructor(layout: Layout) {
    this.layout = layout;
  }

  static async make(): Promise<Place> {
    const layout = new Layout(await mkdtemp(join(tmpdir(), 'entrepot-notes-')));
    await mkdir(layout.incoming);
    return new Place(layout);
  }

  open(): Promise<DiskHostedNotes> {
    const room = new Room(new Budget(0), { free: () => Promise.resolve(Number.MAX_SAFE_INTEGER), minFree: 0 });
    return DiskHostedNotes.open(this.layout, room);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.layout.root, { recursive: true, force: true });
  }
}

type Noted = HostedNotes extends { repositories(): AsyncIterable<infer T> } ? T : never;

async function all(notes: HostedNotes): Promise<readonly Noted[]> {
  const found: Noted[] = [];
  for await (const repository of notes.repositories()) found.push(repository);
  return found;
}

test('what is noted is there after a restart, and what was taken back is not', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  expect(notes.isNew).toBe(true);
  const other = { ...note, digest: digestOf(Buffer.from('other'), 'sha512') };
  await notes.putManifest(app, note);
  await notes.putManifest(app, other);
  await notes.putTag(app, tagged);
  await notes.putTag(app, { ...tagged, tag: tagNamed('old') });
  await notes.putTag(app, { ...tagged, digest: other.digest, pushedAt: 9 });
  await notes.removeTag(app, tagNamed('old'));
  const again = await place.open();
  expect(again.isNew).toBe(false);
  expect(await all(again)).toEqual([
    {
      name: app,
      manifests: [note, other],
      tags: [{ ...tagged, digest: other.digest, pushedAt: 9 }],
      unreadable: [],
    },
  ]);
  await again.removeManifest(app, other.digest);
  await again.removeTag(app, tagged.tag);
  expect(await all(await place.open())).toEqual([{ name: app, manifests: [note], tags: [], unreadable: [] }]);
  expect(await readdir(place.layout.incoming)).toEqual([]);
});

test('what was never noted can be taken back', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  await notes.removeManifest(app, note.digest);
  await notes.removeTag(app, tagged.tag);
  expect(await all(notes)).toEqual([]);
});

test.each(['1', '_tags', '_manifests', 'a..b', 'A.-_', 'latest.json', 'x'.repeat(128)])(
  'the tag %s is a tag like any other',
  async (tag) => {
    await using place = await Place.make();
    const odd = { ...tagged, tag: tagNamed(tag) };
    await (await place.open()).putTag(app, odd);
    expect((await all(await place.open()))[0]?.tags).toEqual([odd]);
  },
);

test('repositories below one another keep what is theirs', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  const names = ['a', 'a/b', 'a/b/c', 'a-b', 'tags/list'].map(nameOf);
  for (const name of names) await notes.putTag(name, { ...tagged, tag: tagNamed(name.replaceAll('/', '.')) });
  const found = await all(notes);
  expect(found.map(({ name }) => name).sort()).toEqual([...names].sort());
  for (const { name, tags } of found) expect(tags.map(({ tag }) => String(tag))).toEqual([name.replaceAll('/', '.')]);
  await notes.removeTag(nameOf('a'), tagNamed('a'));
  await notes.removeTag(nameOf('a/b'), tagNamed('a.b'));
  expect((await all(notes)).map(({ name }) => name)).toContain(nameOf('a/b/c'));
});

test('a piece that cannot be read is told by its name, and costs no other', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  await notes.putManifest(app, note);
  await notes.putTag(app, tagged);
  const [manifests, tags] = [place.layout.notesOf(app, '_manifests'), place.layout.notesOf(app, '_tags')];
  await writeFile(join(tags, 'broken'), '{"digest":');
  await writeFile(join(tags, 'other'), '{"digest":"sha256:abc","pushedAt":1}');
  await writeFile(join(tags, '.hidden'), `{"digest":"${note.digest}","pushedAt":1}`);
  await writeFile(join(manifests, 'README'), 'mine');
  const [found, ...others] = await all(notes);
  expect(others).toEqual([]);
  expect(found).toMatchObject({ manifests: [note], tags: [tagged] });
  expect((found?.unreadable ?? []).map(({ place }) => place).sort()).toEqual([
    'hosted/local/app/_manifests/README',
    'hosted/local/app/_tags/.hidden',
    'hosted/local/app/_tags/broken',
    'hosted/local/app/_tags/other',
  ]);
});

test('stray files and directories are nobody’s', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  await notes.putManifest(app, note);
  await writeFile(join(place.layout.hosted, 'README'), 'mine');
  await mkdir(join(place.layout.hosted, 'Not A Name', '_tags'), { recursive: true });
  await mkdir(join(place.layout.hosted, 'empty', '_tags'), { recursive: true });
  expect((await all(notes)).map(({ name }) => name)).toEqual([app]);
});

test('a directory where a note should be is told, and costs no other', async () => {
  await using place = await Place.make();
  const notes = await place.open();
  await notes.putTag(app, tagged);
  await mkdir(join(place.layout.notesOf(app, '_tags'), 'directory'));
  expect(await all(notes)).toMatchObject([
    { tags: [tagged], unreadable: [{ place: 'hosted/local/app/_tags/directory' }] },
  ]);
});
