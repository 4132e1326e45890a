import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * The common name in the certificate that the client of this connection has proved to hold, and that an authority of
 * `listen.clientCa` has signed. Undefined without one, or where it has no such name, or several.
 */
export function clientCertificateName(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !isProved(socket)) return undefined;
  const { subject } = socket.getPeerCertificate();
  // An array where there are several, whatever the types say.
  const name: unknown = subject.CN;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** A client may have no certificate, but not a wrong one. */
export function isClientRefused(socket: TLSSocket): boolean {
  return socket.getPeerX509Certificate() !== undefined && !socket.authorized;
}

/** `authorized` alone is true of a TLS 1.3 session that was resumed without any certificate (src/crypto of Node). */
function isProved(socket: TLSSocket): boolean {
  return socket.authorized && socket.getPeerX509Certificate() !== undefined;
}
