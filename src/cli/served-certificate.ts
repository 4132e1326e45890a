import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { fileErrorText } from '../config/file-error.ts';
import { certificatesIn } from '../config/resolve.ts';
import { fail, ok, type Result } from '../oci/result.ts';

/** What clients will make of the certificate that the mirror shows them. */
export interface ServedCertificate {
  /** Undefined where clients have the authority already. */
  readonly authority: PrivateAuthority | undefined;
  /** @param host without the brackets of an IPv6 address */
  readonly names: (host: string) => boolean;
}

export interface PrivateAuthority {
  /** Where its certificate is, if that is known. */
  readonly path: string | undefined;
}

/** The failure is a sentence without its full stop. */
export async function readServedCertificate(certPath: string): Promise<Result<ServedCertificate, string>> {
  let chain: readonly X509Certificate[];
  try {
    chain = parse(await readFile(certPath, 'utf8'));
  } catch (error) {
    return fail(`the certificate ${certPath} cannot be read: ${fileErrorText(error)}`);
  }
  const [leaf] = chain;
  const last = chain.at(-1);
  if (leaf === undefined || last === undefined) return fail(`${certPath} holds no certificate in PEM form`);
  const roots = rootCertificates.map((root) => new X509Certificate(root));
  const isPublic = chain.some((certificate) => roots.some((root) => certificate.checkIssued(root)));
  return ok({
    authority: isPublic ? undefined : { path: await authorityBeside(certPath, last) },
    names: (host) => (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined,
  });
}

/** Where `tls self-signed` puts it, if it is that. */
async function authorityBeside(certPath: string, last: X509Certificate): Promise<string | undefined> {
  const path = join(dirname(certPath), 'ca.crt');
  try {
    return parse(await readFile(path, 'utf8')).some((authority) => last.checkIssued(authority)) ? path : undefined;
  } catch {
    return undefined;
  }
}

function parse(pem: string): readonly X509Certificate[] {
  return certificatesIn(pem).map((certificate) => new X509Certificate(certificate));
}
