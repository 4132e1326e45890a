import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileErrorText } from '../config/file-error.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import type { CertificateAndKey } from './certificates.ts';

/** Undefined where neither file is there; a failure is a sentence without its full stop. */
export async function readAuthority(
  certPath: string,
  keyPath: string,
): Promise<Result<CertificateAndKey | undefined, string>> {
  const cert = await readIfThere(certPath);
  if (!cert.ok) return cert;
  const key = await readIfThere(keyPath);
  if (!key.ok) return key;
  if (cert.value === undefined && key.value === undefined) return ok(undefined);
  if (cert.value === undefined || key.value === undefined) {
    const [there, missing] = cert.value === undefined ? [keyPath, certPath] : [certPath, keyPath];
    return fail(`${there} is of no use without ${missing}`);
  }
  const trouble = troubleWith(cert.value, key.value);
  if (trouble !== undefined) return fail(`${certPath} cannot sign: ${trouble}`);
  return ok({ cert: cert.value, key: key.value });
}

async function readIfThere(path: string): Promise<Result<string | undefined, string>> {
  try {
    return ok(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ok(undefined);
    return fail(`${path} cannot be read: ${fileErrorText(error)}`);
  }
}

function troubleWith(certText: string, keyText: string): string | undefined {
  let cert: X509Certificate;
  let key: KeyObject;
  try {
    cert = new X509Certificate(certText);
    key = createPrivateKey(keyText);
  } catch {
    return 'it, or its key, is not in PEM form';
  }
  if (!cert.ca) return 'it is no certificate of an authority';
  if (!cert.checkPrivateKey(key)) return 'its key does not belong to it';
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return 'its key is not on the curve P-256';
  if (Date.parse(cert.validTo) <= Date.now())
    return `it expired on ${new Date(cert.validTo).toISOString().slice(0, 10)}`;
  return undefined;
}
