import { BlockList, isIP } from 'node:net';
import { fail, ok, type Result } from './result.ts';

/** Addresses of a network, or a single one. Only {@link parseAddressRange} makes one. */
export interface AddressRange {
  /** As the operator wrote it. */
  readonly text: string;
  /** @param address as {@link plainAddress} gives it */
  contains(address: string): boolean;
}

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. An IPv4 network that is mapped into IPv6 is the IPv4 one. */
export function parseAddressRange(text: string): Result<AddressRange, { readonly reason: string }> {
  const [, written = '', suffix] = /^([^/%]{1,45})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = plainAddress(written);
  if (address === undefined) return fail({ reason: 'neither an address nor a network such as 10.0.0.0/8' });
  const maxBits = isIP(address) === 4 ? 32 : 128;
  // The first 96 bits of a mapped address say only that it is one.
  const mapped = isIP(written) === 6 && maxBits === 32 ? 96 : 0;
  const bits = suffix === undefined ? maxBits : Number(suffix) - mapped;
  if (bits < 0 || bits > maxBits) {
    return fail({ reason: `behind the slash stands a number from ${mapped} to ${maxBits + mapped}` });
  }
  const list = new BlockList();
  list.addSubnet(address, bits, familyOf(address));
  return ok({ text, contains: (candidate) => isIP(candidate) !== 0 && list.check(candidate, familyOf(candidate)) });
}

/**
 * An IP address without a zone, and without the clothes of IPv6 that a socket listening on `::` puts on an IPv4 peer:
 * `::ffff:10.0.0.1` and `::ffff:a00:1` are `10.0.0.1`. Undefined for what is no address.
 */
export function plainAddress(text: string): string | undefined {
  const address = text.replace(/%[\w.-]{1,32}$/, '');
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : undefined;
  // The URL parser writes every address in its shortest form (WHATWG URL, "IPv6 serializer").
  const shortest = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(shortest) ?? [];
  if (high === undefined || low === undefined) return shortest;
  const bytes = [high, low].flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff]);
  return bytes.join('.');
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}
