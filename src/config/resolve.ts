/** From what the file says to what the program uses: reads the files and variables that settings name. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fail, ok, type Result } from '../oci/result.ts';
import type { Config, Credentials, TagTtlRule, UpstreamConfig } from './config.ts';
import type { Environment } from './environment.ts';
import { fileErrorText } from './file-error.ts';
import type { Finding } from './problem.ts';
import { dockerHub, type Settings, type UpstreamSettings } from './schema.ts';

export interface Surroundings {
  /** Of the config file: what relative paths are relative to. */
  readonly directory: string;
  readonly env: Environment;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
}

export async function resolveSettings(
  settings: Settings,
  surroundings: Surroundings,
): Promise<Result<Config, readonly Finding[]>> {
  const findings: Finding[] = [];
  const upstreams = new Map<string, UpstreamConfig>();
  for (const [name, upstream] of Object.entries(settings.upstreams)) {
    const report = (key: string, message: string) => findings.push({ path: ['upstreams', name, key], message });
    upstreams.set(name, await resolveUpstream(upstream, surroundings, report));
  }
  if (findings.length > 0) return fail(findings);
  const { listen, storage, access, notifications, log, shutdownGrace } = settings;
  return ok({
    listen: resolveListen(listen, surroundings),
    storage: { ...storage, path: resolve(surroundings.directory, storage.path) },
    upstreams,
    defaultUpstream: settings.defaultUpstream ?? implicitUpstream(settings),
    private: settings.private,
    access: {
      ...access,
      ...(access.htpasswd !== undefined && { htpasswd: resolve(surroundings.directory, access.htpasswd) }),
    },
    notifications,
    log: { level: log.level, format: log.format ?? (surroundings.isTerminal ? 'pretty' : 'json') },
    shutdownGrace,
  });
}

function resolveListen({ tls, clientCa, ...rest }: Settings['listen'], { directory }: Surroundings): Config['listen'] {
  return {
    ...rest,
    ...(tls && { tls: { cert: resolve(directory, tls.cert), key: resolve(directory, tls.key) } }),
    ...(clientCa !== undefined && { clientCa: resolve(directory, clientCa) }),
  };
}

function implicitUpstream({ defaultUpstream, upstreams }: Settings): string | null {
  return defaultUpstream === undefined && Object.hasOwn(upstreams, dockerHub) ? dockerHub : null;
}

type Report = (key: string, message: string) => void;

async function resolveUpstream(
  settings: UpstreamSettings,
  surroundings: Surroundings,
  report: Report,
): Promise<UpstreamConfig> {
  const { endpoints, privateRepositories, search, insecure } = settings;
  const credentials = await resolveCredentials(settings, surroundings, report);
  const ca = settings.ca === undefined ? undefined : await readCertificates(settings.ca, surroundings, report);
  return {
    endpoints,
    ...(credentials && { credentials }),
    tagTtl: tagTtlRules(settings.tagTtl),
    privateRepositories,
    search,
    ...(ca !== undefined && { ca }),
    insecure,
  };
}

function tagTtlRules(tagTtl: UpstreamSettings['tagTtl']): readonly TagTtlRule[] {
  if (typeof tagTtl === 'number') return [{ match: { text: '**', matches: () => true }, ttlMs: tagTtl }];
  return tagTtl.map(({ match, ttl }) => ({ match, ttlMs: ttl }));
}

async function resolveCredentials(
  { username, password, passwordFile, passwordEnv }: UpstreamSettings,
  surroundings: Surroundings,
  report: Report,
): Promise<Credentials | undefined> {
  if (username === undefined) return undefined;
  if (password !== undefined) return { username, password };
  if (passwordEnv !== undefined) {
    const value = surroundings.env[passwordEnv] ?? '';
    // The name is not repeated: some will have put the password itself here.
    if (value === '') report('passwordEnv', 'must be the name of an environment variable that is set and not empty');
    return { username, password: value };
  }
  if (passwordFile === undefined) return undefined;
  const text = await readNamedFile(passwordFile, surroundings, (message) => report('passwordFile', message));
  if (text === undefined) return undefined;
  const value = text.replace(/\r?\n$/, '');
  if (value === '') report('passwordFile', 'names a file that is empty');
  return { username, password: value };
}

async function readCertificates(file: string, surroundings: Surroundings, report: Report): Promise<string | undefined> {
  const text = await readNamedFile(file, surroundings, (message) => report('ca', message));
  if (text === undefined) return undefined;
  const certificates = certificatesIn(text);
  if (certificates.length === 0) report('ca', 'names a file without a certificate in PEM form');
  if (!certificates.every(isCertificate)) report('ca', 'names a file with a damaged certificate');
  return text;
}

export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

async function readNamedFile(
  file: string,
  { directory }: Surroundings,
  report: (message: string) => void,
): Promise<string | undefined> {
  const path = resolve(directory, file);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    report(`names ${path}, which cannot be read: ${fileErrorText(error)}`);
    return undefined;
  }
}
