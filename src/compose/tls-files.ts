import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { fileErrorText } from '../config/file-error.ts';
import { certificatesIn } from '../config/resolve.ts';
import type { TlsMaterial } from '../http/tls-server.ts';
import { fail, ok, type Result } from '../oci/result.ts';
import { messageOf } from './startup-error.ts';

/** Absolute paths of PEM files. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
}

export interface BadTls {
  /** A sentence without its full stop, with the path of the file that is to be mended. */
  readonly reason: string;
}

/** Chains and bundles of all public authorities are smaller. */
const maxPemBytes = 1024 * 1024;

/** What the files hold, if a server can be run with it. */
export async function readTls({ cert, key, clientCa }: TlsPaths): Promise<Result<TlsMaterial, BadTls>> {
  const chain = await readCertificates(cert);
  if (!chain.ok) return chain;
  const keyText = await readPem(key);
  if (!keyText.ok) return keyText;
  const authorities = clientCa === undefined ? undefined : await readCertificates(clientCa);
  if (authorities?.ok === false) return authorities;

  const privateKey = parseKey(keyText.value);
  if (!privateKey.ok) return bad(`${key} ${privateKey.failure.reason}`);
  if (!chain.value.leaf.checkPrivateKey(privateKey.value)) {
    return bad(`the key in ${key} does not belong to the certificate in ${cert}`);
  }
  const material = { cert: chain.value.pem, key: keyText.value, clientCa: authorities?.value.pem };
  try {
    // What OpenSSL finds fault with beyond all that, such as a key that is too short to be safe.
    createSecureContext({ cert: material.cert, key: material.key, ca: material.clientCa });
  } catch (error) {
    return bad(`the certificate in ${cert} cannot be used: ${messageOf(error)}`);
  }
  return ok(material);
}

interface Certificates {
  readonly pem: string;
  /** The first, which is the server's own. */
  readonly leaf: X509Certificate;
}

async function readCertificates(path: string): Promise<Result<Certificates, BadTls>> {
  const pem = await readPem(path);
  if (!pem.ok) return pem;
  try {
    const [leaf] = certificatesIn(pem.value).map((certificate) => new X509Certificate(certificate));
    return leaf === undefined ? bad(`${path} holds no certificate in PEM form`) : ok({ pem: pem.value, leaf });
  } catch {
    return bad(`${path} holds a damaged certificate`);
  }
}

async function readPem(path: string): Promise<Result<string, BadTls>> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxPemBytes + 1), 0, maxPemBytes + 1, 0);
    return bytesRead > maxPemBytes
      ? bad(`${path} is larger than ${maxPemBytes} bytes, so it is no PEM file`)
      : ok(buffer.toString('utf8', 0, bytesRead));
  } catch (error) {
    return bad(`${path} cannot be read: ${fileErrorText(error)}`);
  }
}

function parseKey(pem: string): Result<KeyObject, BadTls> {
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem)) {
    return bad('holds a key with a passphrase, which nobody could type in at each start: take it off');
  }
  try {
    return ok(createPrivateKey(pem));
  } catch {
    return bad('holds no private key in PEM form');
  }
}

function bad(reason: string): Result<never, BadTls> {
  return fail({ reason });
}
