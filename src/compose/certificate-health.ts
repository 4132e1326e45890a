import { X509Certificate } from 'node:crypto';

/** Left to an operator who renews by hand; those who automate it renew a month before. */
const expiryWarningMs = 14 * 24 * 60 * 60 * 1000;

/**
 * What is about to go wrong with a server certificate, or has done so already, as one sentence; undefined if nothing.
 *
 * @param pem the server's own certificate comes first
 * @param now milliseconds since 1970
 */
export function certificateTrouble(pem: string, now: number): string | undefined {
  const { validFrom, validTo, subjectAltName } = new X509Certificate(pem);
  if (Date.parse(validTo) <= now) return `the TLS certificate expired on ${day(validTo)}: clients refuse it`;
  if (Date.parse(validFrom) > now)
    return `the TLS certificate is not valid before ${day(validFrom)}: clients refuse it`;
  if (Date.parse(validTo) - now <= expiryWarningMs) return `the TLS certificate expires on ${day(validTo)}`;
  // Go has not looked at the common name since 1.15, and Docker, containerd and Podman are written in it.
  if (subjectAltName === undefined) return 'the TLS certificate has no subjectAltName: container engines refuse it';
  return undefined;
}

function day(date: string): string {
  return new Date(date).toISOString().slice(0, 10);
}
