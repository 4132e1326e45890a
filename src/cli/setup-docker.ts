import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { tellProblems } from './problems.ts';
import { type PrivateAuthority, readServedCertificate } from './served-certificate.ts';
import { jsonText } from './text.ts';

interface DaemonJson {
  readonly 'registry-mirrors': readonly string[];
  readonly 'insecure-registries'?: readonly string[];
}

/** What engines have to be told, and what the operator has to. */
interface Advice {
  readonly url: URL;
  readonly authority: PrivateAuthority | undefined;
  readonly notes: readonly string[];
}

/** Prints what makes a Docker engine use this mirror. Needs the configuration, and no running mirror. */
export async function setupDocker(
  options: { readonly config: string; readonly json: boolean },
  io: Io,
): Promise<ExitCode> {
  const loaded = await loadConfig({ file: options.config, env: io.env, isTerminal: io.stdout.isTTY === true });
  if (!loaded.ok) return tellProblems(loaded.failure, options, io);
  const { listen } = loaded.value;
  const advice = await adviceFor(listen);
  const json = jsonText(daemonJson(advice.url));
  io.stdout.write(options.json ? json : explained(json, advice, listen));
  const notes =
    options.json && advice.authority ? [...advice.notes, trustLine(advice.url, advice.authority)] : advice.notes;
  io.stderr.write(notes.map((note) => `entrepot: ${note}\n`).join(''));
  return exitCode.done;
}

function daemonJson(url: URL): DaemonJson {
  const mirrors = { 'registry-mirrors': [url.origin] };
  // A mirror may speak plain HTTP without more ado; for `docker push mirror:5000/…` only loopback may.
  const isInsecure = url.protocol === 'http:' && !isLoopback(url.hostname);
  return isInsecure ? { ...mirrors, 'insecure-registries': [url.host] } : mirrors;
}

async function adviceFor(listen: Config['listen']): Promise<Advice> {
  const url = new URL(listen.publicUrl ?? guessedUrl(listen));
  const notes = listen.publicUrl === undefined ? guessNotes(listen, url) : [];
  if (url.protocol === 'http:') return { url, authority: undefined, notes };
  if (listen.tls === undefined) {
    const note = `TLS ends before the mirror: if that certificate is of a private authority, the authority's belongs into ${trustPath(url)}`;
    return { url, authority: undefined, notes: [...notes, note] };
  }
  const served = await readServedCertificate(listen.tls.cert);
  if (!served.ok) return { url, authority: undefined, notes: [...notes, served.failure] };
  const { authority, names } = served.value;
  const unnamed = `the certificate ${listen.tls.cert} is not for ${url.hostname}: engines will refuse it`;
  return { url, authority, notes: names(bare(url.hostname)) ? notes : [...notes, unnamed] };
}

const everyAddress: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

function guessedUrl({ host, port, tls }: Config['listen']): string {
  const name = everyAddress.has(host) ? hostname() : host;
  return `${tls === undefined ? 'http' : 'https'}://${isIP(name) === 6 ? `[${name}]` : name}:${port}`;
}

function guessNotes({ host, port }: Config['listen'], { hostname: name }: URL): readonly string[] {
  const guess = everyAddress.has(host)
    ? [`listen.publicUrl is not set, so ${name} is what this machine calls itself: can the others resolve it?`]
    : [];
  const alone = isLoopback(name) ? [`the mirror listens on ${name}, where only this machine can reach it`] : [];
  const free = port === 0 ? ['listen.port is 0: put in the port that the mirror says it listens on'] : [];
  return [...guess, ...alone, ...free];
}

function explained(json: string, { url, authority }: Advice, { clientCa }: Config['listen']): string {
  const parts = [
    `Into /etc/docker/daemon.json, beside what is there already; then \`systemctl reload docker\`:\n\n${json}`,
    ...(authority ? [`On each machine, so that its engine trusts the mirror: ${trustLine(url, authority)}.\n`] : []),
    ...(clientCa === undefined
      ? []
      : ['A client certificate, for who has one, goes beside it: client.cert and client.key.\n']),
    `Images of Docker Hub then come through the mirror; others by its name: docker pull ${url.host}/ghcr.io/owner/app\n`,
  ];
  return parts.join('\n');
}

function trustLine(url: URL, { path }: PrivateAuthority): string {
  return `${path ?? "the certificate of the mirror's own authority"} is to be copied to ${trustPath(url)}`;
}

function trustPath({ host }: URL): string {
  return `/etc/docker/certs.d/${host}/ca.crt`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
