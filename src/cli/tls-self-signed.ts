import { X509Certificate } from 'node:crypto';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileErrorText } from '../config/file-error.ts';
import { readAuthority } from './authority.ts';
import { type CertificateAndKey, issueCertificate, newAuthority } from './certificates.ts';
import { type ExitCode, exitCode, type Io } from './io.ts';
import { jsonText, table } from './text.ts';
import type { SelfSignedOptions } from './tls-arguments.ts';

const msPerDay = 24 * 60 * 60 * 1000;

/** Clients need a new authority when it ends, servers only a new certificate. */
const authorityDays = 3650;

/** Clocks on a LAN differ. */
const backdatedMs = 60 * 60 * 1000;

interface Paths {
  readonly ca: string;
  readonly caKey: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes a certificate for the hosts. An authority that is in the directory already signs it, so that clients need nothing new;
 * it is never replaced.
 */
export async function selfSigned(options: SelfSignedOptions, io: Io): Promise<ExitCode> {
  const directory = resolve(options.directory);
  const paths: Paths = {
    ca: join(directory, 'ca.crt'),
    caKey: join(directory, 'ca.key'),
    cert: join(directory, 'server.crt'),
    key: join(directory, 'server.key'),
  };
  const refuse = (problem: string) => {
    io.stderr.write(`entrepot: ${problem}\n`);
    return exitCode.failed;
  };

  const taken = options.force ? undefined : await firstThere([paths.cert, paths.key]);
  if (taken !== undefined) return refuse(`${taken} is there already: --force replaces it, --out writes elsewhere`);
  const found = await readAuthority(paths.ca, paths.caKey);
  if (!found.ok) return refuse(found.failure);
  try {
    await mkdir(directory, { recursive: true });
    const authority = found.value ?? (await makeAuthority(options, paths));
    const issued = await issueFor(options, authority);
    // The key first: a running mirror takes over neither before they fit together.
    await put(paths.key, issued.key, 0o600);
    await put(paths.cert, issued.cert, 0o644);
    const until = new X509Certificate(issued.cert).validTo;
    io.stdout.write(
      options.json ? jsonText({ ...paths, notAfter: new Date(until).toISOString() }) : told(options, paths, until),
    );
    return exitCode.done;
  } catch (error) {
    if (!(error instanceof Error) || !('path' in error)) throw error;
    return refuse(`${String(error.path)} cannot be written: ${fileErrorText(error)}`);
  }
}

async function makeAuthority({ hosts, days }: SelfSignedOptions, { ca, caKey }: Paths): Promise<CertificateAndKey> {
  const now = Date.now();
  const authority = await newAuthority(`Entrepot CA of ${hosts[0]}`, {
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(now + Math.max(authorityDays, days) * msPerDay),
  });
  await put(caKey, authority.key, 0o600);
  await put(ca, authority.cert, 0o644);
  return authority;
}

function issueFor({ hosts, days }: SelfSignedOptions, authority: CertificateAndKey): Promise<CertificateAndKey> {
  const now = Date.now();
  // Beyond its authority's end it would be worth nothing.
  const notAfter = Math.min(now + days * msPerDay, Date.parse(new X509Certificate(authority.cert).validTo));
  const validity = { notBefore: new Date(now - backdatedMs), notAfter: new Date(notAfter) };
  return issueCertificate(authority, { commonName: hosts[0], usage: 'serverAuth', hosts, validity });
}

async function firstThere(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

/** Whole or not at all, and never readable to others for a moment. */
async function put(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, text, { flag: 'wx', mode });
  await rename(temporary, path);
}

function told({ hosts }: SelfSignedOptions, paths: Paths, until: string): string {
  const name = hosts.find((host) => !host.startsWith('*')) ?? 'HOST';
  const at = `${name.includes(':') ? `[${name}]` : name}:5000`;
  const files = table([
    [paths.ca, 'certificate of the authority: every client needs it'],
    [paths.caKey, 'its key, which signs further certificates: keep it where nobody else comes'],
    [paths.cert, `certificate of ${hosts.join(', ')}, good until ${new Date(until).toISOString().slice(0, 10)}`],
    [paths.key, 'its key: readable by you alone, so the mirror must run as you, or be given it (chown)'],
  ]);
  const places = table([
    ['  Docker', `/etc/docker/certs.d/${at}/ca.crt`],
    ['  Podman', `/etc/containers/certs.d/${at}/ca.crt`],
    ['  containerd', `anywhere, and in hosts.toml below [host."https://${at}"]: ca = "/path/to/ca.crt"`],
    ['  Debian', '/usr/local/share/ca-certificates/entrepot.crt, then update-ca-certificates'],
    ['  Fedora', '/etc/pki/ca-trust/source/anchors/entrepot.crt, then update-ca-trust'],
  ]);
  return `${files}
Into mirror.config.json:

  "listen": { "tls": { "cert": ${JSON.stringify(paths.cert)}, "key": ${JSON.stringify(paths.key)} } }

Onto every client, ca.crt as (5000 is listen.port; the last two serve all programs):

${places}`;
}
