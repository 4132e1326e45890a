import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, mkdir, readdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from './program.ts';

/** Path without a leading slash → sha256 of the content, or `-> target` for a symbolic link. */
export type Files = Map<string, string>;

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';
const maxDifferencesShown = 10;
const maxFilesCopied = 1_000;

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

export async function filesBelow(root: string): Promise<Files> {
  const files: Files = new Map();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(relative(root, path), await sha256OfFile(path));
    else if (entry.isSymbolicLink()) files.set(relative(root, path), `-> ${await readlink(path)}`);
  }
  return files;
}

/** Copies files and links below `source`, in order of their names, as long as their sizes add up to no more than this. */
export async function copyUpTo(source: string, target: string, maxBytes: number): Promise<void> {
  let [bytes, files] = [maxBytes, maxFilesCopied];
  for await (const path of walk(source)) {
    const { size } = await stat(path).catch(() => ({ size: 0 }));
    if (size > bytes) continue;
    const copy = join(target, relative(source, path));
    await mkdir(dirname(copy), { recursive: true });
    const link = await readlink(path).catch(() => undefined);
    await (link === undefined ? copyFile(path, copy) : symlink(link, copy));
    if (link === undefined) bytes -= size;
    files -= 1;
    if (files === 0 || bytes < maxBytes / 100) return;
  }
}

async function* walk(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() || entry.isSymbolicLink()) yield path;
  }
}

/** What lies in the image when `layer` is put on top of `below`; both as file lists, whiteouts included. */
export function overlay(below: Files, layer: Files): Files {
  const result: Files = new Map(below);
  for (const path of layer.keys()) {
    if (isWhiteout(path)) forget(result, hiddenBy(path));
  }
  for (const [path, content] of layer) {
    if (!isWhiteout(path)) result.set(path, content);
  }
  return result;
}

function forget(files: Files, hidden: string): void {
  for (const path of files.keys()) {
    if (path === hidden || path.startsWith(`${hidden}/`)) files.delete(path);
  }
}

/** Unpacks layers (tar, compressed or not), lowest first, the way an engine would. */
export async function unpackLayers(layers: readonly string[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const layer of layers) {
    const args = ['--extract', '--verbose', '--no-same-owner', '--directory', root, '--file', layer];
    const members = await run({ program: 'tar', args });
    for (const path of members.split('\n').filter(isWhiteout)) {
      for (const gone of [path, hiddenBy(path)]) await rm(join(root, gone), { recursive: true, force: true });
    }
  }
}

function isWhiteout(path: string): boolean {
  return basename(path).startsWith(whiteout);
}

function hiddenBy(path: string): string {
  // Opaque folders are not needed by any image here, and would have to be emptied before unpacking.
  if (basename(path) === opaque) throw new Error(`an opaque folder is not expected: ${path}`);
  return join(dirname(path), basename(path).slice(whiteout.length));
}

/** The first few differences in words; empty when the two are equal. */
export function differences(expected: Files, actual: Files): string[] {
  const found: string[] = [];
  for (const [path, content] of expected) {
    const got = actual.get(path);
    if (got !== content) found.push(`${path}: expected ${content}, got ${got ?? 'nothing'}`);
  }
  for (const path of actual.keys()) {
    if (!expected.has(path)) found.push(`${path}: not in the source`);
  }
  return found.slice(0, maxDifferencesShown);
}
