/**
 * What a large ledger costs: the same daemon with 1,000 and with 1,000,000 blobs, side by side.
 *
 *     npm run build && node bench/million-blobs.mjs [directory]
 *
 * Prints start-up (until /readyz answers), memory, hits a second for a manifest and a small blob, and what evicting adds to
 * fills: how long they take, and for how long at most nothing else gets its turn. Takes about five minutes the first time
 * and up to 6 GB below `directory`, where the ledgers stay for the next run, as long as their layout does not change; without
 * one, they are made anew in a temporary directory. Only the blobs that are served exist as files: a ledger does not look at
 * the others, and they can be evicted all the same.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { Pool, request } from 'undici';

const dist = new URL('../dist/', import.meta.url);
const scales = [1_000, 1_000_000];
const ownLayersOfImage = 8;
const imagesOnOneBase = 100;
const layerBytes = 1_000_000;
const servedBlobBytes = 4_096;
const starts = 5;
const connections = 32;
const loadMs = 5_000;
const fills = 30;
/** An eviction makes room for 5 % of the cap or 1 GiB more than what is missing. */
const fillBytes = 64_000_000;
const readyMs = 120_000;
/** By the evictor alone. */
const evictedBytes = 50_000_000;

const registry = 'docker.io';
const servedName = 'library/bench';
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

function sha256(content) {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

// ---- the ledger -----------------------------------------------------------------------------------------------------

/** In the layout that the program itself makes; the rows are written in large transactions, or it would take ten minutes. */
async function fillLedger(dataPath, blobs) {
  const { SqliteLedger } = await import(new URL('ledger/sqlite-ledger.js', dist));
  await mkdir(dataPath, { recursive: true });
  const path = join(dataPath, 'ledger.db');
  await new SqliteLedger(path).close({ clean: false });
  const db = new Database(path);
  const rows = rowWriter(db);
  db.exec('BEGIN');
  let base;
  for (let image = 0; rows.count < blobs; image += 1) {
    if (image % imagesOnOneBase === 0) base = rows.blob(`library/image-${image}`, sha256(`base ${image}`), layerBytes);
    const name = `library/image-${image}`;
    const children = [base, rows.blob(name, sha256(`config ${image}`), 2_000)];
    for (let layer = 0; layer < ownLayersOfImage; layer += 1) {
      children.push(rows.blob(name, sha256(`layer ${image} ${layer}`), layerBytes));
    }
    rows.manifest(name, { digest: sha256(`manifest ${image}`), size: 1_500 }, children);
    if (image % 1_000 === 999) db.exec('COMMIT; BEGIN');
  }
  const served = await addServed(rows, dataPath);
  db.exec('COMMIT');
  db.close();
  const ledger = new SqliteLedger(path);
  const { bytes } = await ledger.totals();
  await ledger.close({ clean: true });
  await writeFile(join(dataPath, 'bench.json'), JSON.stringify({ ...served, bytes }));
}

function rowWriter(db) {
  const addBlob = db.prepare('INSERT INTO blobs (digest, size, is_public, stored_at, used_at) VALUES (?, ?, 1, ?, ?)');
  const addLink = db.prepare('INSERT INTO links (registry, repository, digest) VALUES (?, ?, ?)');
  const addManifest = db.prepare('INSERT INTO manifests (digest, media_type) VALUES (?, ?)');
  const addChild = db.prepare("INSERT INTO children (parent, child, kind, size) VALUES (?, ?, 'blob', ?)");
  const addTag = db.prepare('INSERT INTO tags (registry, repository, tag, digest, checked_at) VALUES (?, ?, ?, ?, ?)');
  const addRepository = db.prepare(
    'INSERT INTO repositories (registry, repository, is_public, checked_at) VALUES (?, ?, 1, ?)',
  );
  // A year ago, one second after the other.
  let clock = Date.now() - 365 * 86_400_000;
  const rows = {
    count: 0,
    blob(name, digest, size) {
      rows.count += 1;
      clock += 1_000;
      addBlob.run(digest, size, clock, clock);
      addLink.run(registry, name, digest);
      return { digest, size };
    },
    manifest(name, { digest, size }, children) {
      rows.blob(name, digest, size);
      addManifest.run(digest, manifestType);
      for (const child of children) addChild.run(digest, child.digest, child.size);
      addTag.run(registry, name, '1.0', digest, Date.now());
      addRepository.run(registry, name, Date.now());
    },
  };
  return rows;
}

/** One image of which everything is there. */
async function addServed(rows, dataPath) {
  const config = Buffer.alloc(servedBlobBytes, '{"architecture":"amd64"}');
  const blob = sha256(config);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: blob, size: config.length },
      layers: [],
    }),
  );
  const digest = sha256(manifest);
  for (const [name, content] of [
    [blob, config],
    [digest, manifest],
  ]) {
    const hex = name.slice('sha256:'.length);
    const folder = join(dataPath, 'blobs', 'sha256', hex.slice(0, 2));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, hex), content);
  }
  const child = rows.blob(servedName, blob, config.length);
  rows.manifest(servedName, { digest, size: manifest.length }, [child]);
  return { manifest: digest, blob };
}

// ---- the daemon as a process ----------------------------------------------------------------------------------------

async function writeConfig(file, dataPath, { port = 0, maxSize, upstream }) {
  const settings = {
    listen: { host: '127.0.0.1', port },
    storage: { path: dataPath, maxSize },
    upstreams: { 'docker.io': { endpoints: [upstream], tagTtl: '365d' } },
    log: { level: 'warn', format: 'json' },
  };
  await writeFile(file, JSON.stringify(settings));
}

async function startDaemon(configFile, url) {
  const began = performance.now();
  const child = spawn(process.execPath, [fileURLToPath(new URL('main.js', dist)), 'serve', '--config', configFile], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error('the daemon ended');
    if (performance.now() - began > readyMs) throw new Error('the daemon does not get ready');
    await delay(2);
  }
  const tookMs = performance.now() - began;
  const memory = async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
  };
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await exited;
    if (code !== 0) throw new Error(`the daemon ended with exit code ${code}`);
  };
  return { tookMs, memory, stop };
}

async function isReady(url) {
  try {
    const { statusCode, body } = await request(`${url}/readyz`);
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}

/** Requests a second that so many connections get through. */
async function hitsPerSecond(url, path) {
  const pool = new Pool(url, { connections });
  const deadline = performance.now() + loadMs;
  let hits = 0;
  const askOn = async () => {
    while (performance.now() < deadline) {
      const { statusCode, body } = await pool.request({ path, method: 'GET', headers: { accept: manifestType } });
      await body.dump();
      if (statusCode !== 200) throw new Error(`${path}: status ${statusCode}`);
      hits += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, askOn));
  await pool.close();
  return hits / (loadMs / 1000);
}

// ---- eviction, in this process --------------------------------------------------------------------------------------

/** The client and the upstream have a thread of their own, so that nothing but the service has turns to take here. */
async function measureEviction(dataPath, configFile, facts) {
  const [{ startService }, { loadConfig }, { createLogger }] = await Promise.all(
    ['compose.js', 'config/load.js', 'ops/logger.js'].map((file) => import(new URL(file, dist))),
  );
  const worker = new Worker(new URL(import.meta.url));
  const [{ upstream }] = await once(worker, 'message');
  // Room for the first fills, none for the second ones: the difference is the eviction.
  await writeConfig(configFile, dataPath, { maxSize: facts.bytes + (fills + 1) * fillBytes, upstream });
  const loaded = await loadConfig({ file: configFile, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.failure));
  const lines = [];
  const sink = new Writable({
    write(chunk, _, done) {
      lines.push(
        ...chunk
          .toString()
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      );
      done();
    },
  });
  const service = await startService(loaded.value, {
    log: createLogger({ level: 'info', format: 'json' }, sink),
  });
  try {
    const path = `/v2/${servedName}/blobs/${facts.blob}`;
    const quiet = await watched(worker, { url: service.url, path });
    if (lines.some(({ images }) => images > 0)) throw new Error('evicted too early');
    const busy = await watched(worker, { url: service.url, path });
    const evicted = lines.filter(({ images }) => images > 0).reduce((sum, { images }) => sum + images, 0);
    const failed = lines.filter(({ level }) => level === 'error');
    if (failed.length > 0) throw new Error(JSON.stringify(failed[0]));
    return { quiet, busy, evicted };
  } finally {
    await service.stop();
    await worker.terminate();
  }
}

/** The evictor with nothing beside it: what a batch costs the event loop by itself. */
async function measureEvictor(dataPath, facts) {
  const [{ Storage }, { Evictor }, { createLogger }] = await Promise.all(
    ['compose/storage.js', 'store/evictor.js', 'ops/logger.js'].map((file) => import(new URL(file, dist))),
  );
  const log = createLogger({ level: 'error', format: 'json' }, process.stderr);
  const opening = { log, onProgress: () => undefined, signal: new AbortController().signal };
  const limits = { path: dataPath, maxSize: facts.bytes, minFree: 0 };
  const storage = await Storage.open({ storage: limits }, opening);
  let images = 0;
  const evictor = new Evictor({
    store: storage.store,
    ledger: storage.ledger,
    budget: storage.store.room.budget,
    isPinned: () => false,
    pinnedBytes: async () => 0,
    onEvicted: (evicted) => {
      images += evicted.images;
    },
    onExhausted: () => undefined,
    onError: (error) => {
      throw error;
    },
    now: Date.now,
    signal: new AbortController().signal,
  });
  const loop = monitorEventLoopDelay({ resolution: 1 });
  // A quarter of the small cache.
  const bytes = Math.min(evictedBytes, Math.floor(facts.bytes / 4));
  await delay(500);
  loop.enable();
  const began = performance.now();
  await evictor.free(async () => bytes);
  await evictor.idle();
  const tookMs = performance.now() - began;
  loop.disable();
  await storage.close();
  return { images, msPerImage: tookMs / images, blockMs: loop.max / 1e6, p99BlockMs: loop.percentile(99) / 1e6 };
}

async function watched(worker, task) {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  worker.postMessage(task);
  const [answer] = await once(worker, 'message');
  loop.disable();
  if (answer.error !== undefined) throw new Error(answer.error);
  return { ...answer, blockMs: loop.max / 1e6, p99BlockMs: loop.percentile(99) / 1e6 };
}

/** Serves blobs that nobody has yet, fetches them through the daemon, and meanwhile asks for a hit again and again. */
async function runWorker() {
  const fresh = new Map();
  const server = createServer((message, response) => {
    const content = fresh.get(message.url.split('/').at(-1));
    if (content === undefined) return response.writeHead(404).end();
    response.writeHead(200, { 'content-length': content.length, 'content-type': 'application/octet-stream' });
    return response.end(message.method === 'HEAD' ? undefined : content);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const fill = async (url) => {
    const content = randomBytes(fillBytes);
    const digest = sha256(content);
    fresh.set(digest, content);
    const { statusCode, body } = await request(`${url}/v2/library/fresh/blobs/${digest}`);
    if (statusCode !== 200) throw new Error(`a fill got status ${statusCode}: ${await body.text()}`);
    await body.dump({ limit: Number.MAX_SAFE_INTEGER });
    fresh.delete(digest);
  };
  parentPort.on('message', async ({ url, path }) => {
    let isDone = false;
    let slowestHitMs = 0;
    const askOn = async () => {
      while (!isDone) {
        const began = performance.now();
        await (await request(`${url}${path}`)).body.dump();
        slowestHitMs = Math.max(slowestHitMs, performance.now() - began);
        await delay(1);
      }
    };
    const fillAll = async () => {
      try {
        for (let count = 0; count < fills; count += 1) await fill(url);
      } finally {
        isDone = true;
      }
    };
    const began = performance.now();
    const [filled, asked] = await Promise.allSettled([fillAll(), askOn()]);
    const failed = [filled, asked].find(({ status }) => status === 'rejected');
    if (failed !== undefined) return parentPort.postMessage({ error: String(failed.reason) });
    return parentPort.postMessage({ slowestHitMs, tookMs: performance.now() - began });
  });
  parentPort.postMessage({ upstream: `http://127.0.0.1:${server.address().port}` });
}

// ---- both, side by side ---------------------------------------------------------------------------------------------

async function measure(root, blobs) {
  const dataPath = join(root, `${blobs}`);
  const isThere = await access(join(dataPath, 'bench.json')).then(
    () => true,
    () => false,
  );
  const began = performance.now();
  if (!isThere) await fillLedger(dataPath, blobs);
  const facts = JSON.parse(await readFile(join(dataPath, 'bench.json'), 'utf8'));
  console.error(`${blobs} blobs: ${isThere ? 'found' : `made in ${Math.round((performance.now() - began) / 1000)} s`}`);

  const configFile = join(root, 'mirror.config.json');
  const [port, maxSize] = [await freePort(), 2 * facts.bytes];
  const url = `http://127.0.0.1:${port}`;
  await writeConfig(configFile, dataPath, { port, maxSize, upstream: 'http://127.0.0.1:9' });
  // The first start may have to write what goes with the ledger.
  const first = await startDaemon(configFile, url);
  await first.stop();
  const startUps = [];
  for (let count = 0; count < starts; count += 1) {
    const daemon = await startDaemon(configFile, url);
    startUps.push(daemon.tookMs);
    await daemon.stop();
  }
  const daemon = await startDaemon(configFile, url);
  const manifestHits = await hitsPerSecond(url, `/v2/${servedName}/manifests/1.0`);
  const blobHits = await hitsPerSecond(url, `/v2/${servedName}/blobs/${facts.blob}`);
  const memory = await daemon.memory();
  await daemon.stop();

  // What is evicted must be there for the next run.
  const copy = join(root, `${blobs}-evicted`);
  await rm(copy, { recursive: true, force: true });
  await cp(dataPath, copy, { recursive: true });
  const { quiet, busy, evicted } = await measureEviction(copy, configFile, facts);
  const alone = await measureEvictor(copy, facts);
  await rm(copy, { recursive: true });
  return {
    'ledger.db, MB': round((await stat(join(dataPath, 'ledger.db'))).size / 1e6),
    'first start to /readyz, ms': round(first.tookMs),
    'start to /readyz, ms (median)': round(startUps.toSorted((a, b) => a - b)[Math.floor(starts / 2)]),
    'hits/s, manifest by tag': round(manifestHits),
    'hits/s, blob of 4 KiB': round(blobHits),
    'resident memory after that, MB': round(memory),
    'images evicted, nothing beside it': alone.images,
    'an image evicted, ms': round(alone.msPerImage),
    'longest block of the event loop, ms': round(alone.blockMs),
    '99th percentile, ms': round(alone.p99BlockMs),
    'images evicted under load': evicted,
    'a fill that has to evict, ms': round(busy.tookMs / fills),
    'a fill that has room, ms': round(quiet.tookMs / fills),
    'longest block while evicting, ms': round(busy.blockMs),
    'longest block with room, ms': round(quiet.blockMs),
    '99th percentile while evicting, ms': round(busy.p99BlockMs),
    '99th percentile with room, ms': round(quiet.p99BlockMs),
    'slowest hit while evicting, ms': round(busy.slowestHitMs),
    'slowest hit with room, ms': round(quiet.slowestHitMs),
  };
}

function round(number) {
  return number < 10 ? Number(number.toFixed(1)) : Math.round(number);
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function main() {
  const kept = process.argv[2];
  const root = kept ?? (await mkdtemp(join(tmpdir(), 'million-blobs-')));
  await mkdir(root, { recursive: true });
  if (!(await readdir(fileURLToPath(dist))).includes('main.js')) throw new Error('run npm run build first');
  try {
    const columns = [];
    for (const blobs of scales) columns.push(await measure(root, blobs));
    const [small, large] = columns;
    console.table(
      Object.fromEntries(
        Object.keys(small).map((name) => [
          name,
          Object.fromEntries(scales.map((blobs, i) => [`${blobs} blobs`, [small, large][i][name]])),
        ]),
      ),
    );
  } finally {
    if (kept === undefined) await rm(root, { recursive: true, force: true });
  }
}

if (isMainThread) await main();
else await runWorker();
