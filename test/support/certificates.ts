import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateAndKey, issueCertificate, newAuthority, type Validity } from '../../src/cli/certificates.ts';

export const day = 24 * 60 * 60 * 1000;

/** From and to so many milliseconds from now. */
export function validity(from = -day, to = 365 * day): Validity {
  return { notBefore: new Date(Date.now() + from), notAfter: new Date(Date.now() + to) };
}

export function authority(name = 'Test CA'): Promise<CertificateAndKey> {
  return newAuthority(name, validity(-1000 * day, 1000 * day));
}

/** For 127.0.0.1. */
export function serverCertificate(by: CertificateAndKey, during = validity()): Promise<CertificateAndKey> {
  return issueCertificate(by, { commonName: 'mirror', usage: 'serverAuth', hosts: ['127.0.0.1'], validity: during });
}

export function clientCertificate(by: CertificateAndKey, commonName: string): Promise<CertificateAndKey> {
  return issueCertificate(by, { commonName, usage: 'clientAuth', hosts: [], validity: validity() });
}

/** A directory with the PEM files of a server, which are replaced as ACME clients do it. */
export class PemFiles implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async with(files: Readonly<Record<string, string>>): Promise<PemFiles> {
    const pem = new PemFiles(await mkdtemp(join(tmpdir(), 'entrepot-tls-')));
    for (const [name, text] of Object.entries(files)) await pem.put(name, text);
    return pem;
  }

  static ofServer({ cert, key }: CertificateAndKey): Promise<PemFiles> {
    return PemFiles.with({ 'server.crt': cert, 'server.key': key });
  }

  /** For the setting listen.tls. */
  get settings(): { readonly cert: string; readonly key: string } {
    return { cert: this.path('server.crt'), key: this.path('server.key') };
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  async put(name: string, text: string): Promise<void> {
    await writeFile(this.path(`${name}.new`), text);
    await rename(this.path(`${name}.new`), this.path(name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true, force: true });
  }
}
