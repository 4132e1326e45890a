import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { type AddressRange, plainAddress } from '../oci/address-range.ts';

/** Who asks, and what he calls this server: as the connection says, or a proxy that is trusted to. */
export interface Client {
  /** An IP address as `plainAddress` gives it; `unknown` where the connection is gone already. */
  readonly address: string;
  readonly protocol: 'http' | 'https';
  /** `name[:port]` */
  readonly host: string;
}

/** Proxies that are passed on the way back to the client, and elements of a header that are looked at. */
const maxHops = 32;

/**
 * `X-Forwarded-*` is what anybody can write, so it is believed only of a peer that is trusted to write it, and only as far back
 * as trusted peers reach: each appends the address that it was asked from. What cannot be read is as if it were not there.
 */
export function clientOf(request: IncomingMessage, trustedProxies: readonly AddressRange[]): Client {
  const { socket } = request;
  const isTrusted = (address: string) => trustedProxies.some((range) => range.contains(address));
  const peer = plainAddress(socket.remoteAddress ?? '') ?? 'unknown';
  const own: Client = {
    address: peer,
    protocol: socket instanceof TLSSocket ? 'https' : 'http',
    host: validHost(request.headers.host) ?? localHost(request),
  };
  if (!isTrusted(peer)) return own;

  const { address, hops } = walkBack(peer, elements(request, 'x-forwarded-for'), isTrusted);
  // Proxies that append to these too do so once a hop: what is left of the client's own proxy, the client has written.
  const said = (name: string) => {
    const all = elements(request, name);
    return all[Math.min(Math.max(hops, 1), all.length) - 1];
  };
  const protocol = said('x-forwarded-proto')?.toLowerCase();
  return {
    address,
    protocol: protocol === 'http' || protocol === 'https' ? protocol : own.protocol,
    host: validHost(said('x-forwarded-host')) ?? own.host,
  };
}

/**
 * Where clients reach this server, as `scheme://host[:port]`: as the operator says, else as this client has just done.
 *
 * @param publicUrl the setting listen.publicUrl
 */
export function publicUrlOf({ protocol, host }: Client, publicUrl: string | undefined): string {
  return publicUrl ?? `${protocol}://${host}`;
}

interface Origin {
  readonly address: string;
  /** How many of the header's elements were believed. */
  readonly hops: number;
}

function walkBack(peer: string, forwardedFor: readonly string[], isTrusted: (address: string) => boolean): Origin {
  let address = peer;
  let hops = 0;
  for (const element of forwardedFor) {
    const before = forwardedAddress(element);
    if (before === undefined) break;
    address = before;
    hops++;
    if (!isTrusted(address)) break;
  }
  return { address, hops };
}

/** The last one, which the nearest proxy wrote, comes first. */
function elements(request: IncomingMessage, name: string): readonly string[] {
  // Node joins what is said in several lines (http, "message.headers").
  const value = request.headers[name];
  const text = Array.isArray(value) ? value.join(',') : (value ?? '');
  const all = text.split(',').map((element) => element.trim());
  return text === '' ? [] : all.slice(-maxHops).reverse();
}

/** Some write a port behind it: `10.0.0.1:1234`, `[::1]:1234`. */
function forwardedAddress(element: string): string | undefined {
  const [, bracketed, withPort] = /^(?:\[([^\]]*)\](?::\d{1,5})?|([^:]*):\d{1,5})$/.exec(element) ?? [];
  return plainAddress(bracketed ?? withPort ?? element);
}

/** A DNS name has 253 characters at the most (RFC 1035), a port five. */
const maxHostLength = 253 + ':65535'.length;

function validHost(text: string | undefined): string | undefined {
  if (text === undefined || text.length > maxHostLength) return undefined;
  if (!/^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(text))
    return undefined;
  return URL.canParse(`http://${text}`) ? text : undefined;
}

/** The address that was connected to: HTTP/1.0 needs no Host header. */
function localHost({ socket }: IncomingMessage): string {
  const address = plainAddress(socket.localAddress ?? '') ?? 'localhost';
  const host = address.includes(':') ? `[${address}]` : address;
  return socket.localPort === undefined ? host : `${host}:${socket.localPort}`;
}
