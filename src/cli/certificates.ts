/** Certificates for a LAN, such as OpenSSL, Go and Node accept: a private authority, and what it signs (RFC 5280). */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** PEM texts. */
export interface CertificateAndKey {
  readonly cert: string;
  /** PKCS #8, without a passphrase. */
  readonly key: string;
}

/** From and to which moment a certificate is good. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const p256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** Twenty octets is what RFC 5280 allows, and the first bit makes a number negative. */
const serialBytes = 16;

/** An authority that signs certificates of servers and clients, and no further authorities. */
export async function newAuthority(commonName: string, validity: Validity): Promise<CertificateAndKey> {
  const keys = await newKeys();
  const cert = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: newSerial(),
      name: nameOf(commonName),
      ...validity,
      keys,
      signingAlgorithm,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: pemOf(cert), key: await privateKeyPem(keys) };
}

/** What a certificate is good for. */
export interface Purpose {
  readonly commonName: string;
  readonly usage: 'serverAuth' | 'clientAuth';
  /** DNS names, which may begin with `*.`, and IP addresses. */
  readonly hosts: readonly string[];
  readonly validity: Validity;
}

export async function issueCertificate(
  authority: CertificateAndKey,
  { commonName, usage, hosts, validity }: Purpose,
): Promise<CertificateAndKey> {
  const names = hosts.map((value): JsonGeneralName => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }));
  const issuer = new X509Certificate(authority.cert);
  const keys = await newKeys();
  const cert = await X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      subject: nameOf(commonName),
      issuer: issuer.subjectName,
      ...validity,
      publicKey: keys.publicKey,
      signingKey: await signingKeyOf(authority),
      signingAlgorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage[usage]]),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: pemOf(cert), key: await privateKeyPem(keys) };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(p256, true, ['sign', 'verify']);
}

function signingKeyOf({ key }: CertificateAndKey): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(key), p256, false, ['sign']);
}

async function privateKeyPem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', privateKey), 'PRIVATE KEY')}\n`;
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

/** The upper bound of a common name (RFC 5280, "ub-common-name"); the whole one stands in subjectAltName. */
const maxCommonNameLength = 64;

function nameOf(commonName: string): Name {
  return new Name([{ CN: [commonName.slice(0, maxCommonNameLength)] }]);
}

function newSerial(): string {
  const bytes = randomBytes(serialBytes);
  // Positive, and of full length.
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}
