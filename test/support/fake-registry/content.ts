import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** Bytes that can be read at any place, whether or not they exist in memory. `end` is exclusive. */
export interface Content {
  readonly size: number;
  read(start: number, end: number): Buffer;
}

export type Algorithm = 'sha256' | 'sha512';

/** Large enough to keep the loopback busy, small enough that a thousand open bodies still fit in memory. */
export const PIECE_BYTES = 256 * 1024;

const AES_BLOCK_BYTES = 16;
const zeros = Buffer.alloc(PIECE_BYTES + AES_BLOCK_BYTES);

export function contentOf(bytes: Uint8Array | string): Content {
  const buffer = Buffer.from(bytes);
  return { size: buffer.length, read: (start, end) => buffer.subarray(start, end) };
}

export const nothing: Content = contentOf('');

/**
 * Deterministic, incompressible, never repeating bytes: the AES-CTR key stream of the seed. Counter mode is what makes
 * any offset reachable without producing what lies before it.
 */
export function generatedContent(size: number, seed: number | string): Content {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, AES_BLOCK_BYTES);
  return {
    size,
    read(start, end) {
      const skipped = start % AES_BLOCK_BYTES;
      const counter = Buffer.alloc(AES_BLOCK_BYTES);
      counter.writeBigUInt64BE(BigInt((start - skipped) / AES_BLOCK_BYTES), 8);
      const wanted = Math.max(0, Math.min(end, size) - start) + skipped;
      const plain = wanted <= zeros.length ? zeros.subarray(0, wanted) : Buffer.alloc(wanted);
      return createCipheriv('aes-128-ctr', key, counter).update(plain).subarray(skipped);
    },
  };
}

export function slice(content: Content, start: number, end: number): Content {
  return { size: end - start, read: (from, to) => content.read(start + from, start + Math.min(to, end - start)) };
}

export function withByteFlipped(content: Content, atByte: number): Content {
  return {
    size: content.size,
    read(start, end) {
      const bytes = content.read(start, end);
      if (atByte < start || atByte >= start + bytes.length) return bytes;
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(atByte - start) ^ 0xff, atByte - start);
      return damaged;
    },
  };
}

export function withBytesAppended(content: Content, extraBytes: number): Content {
  const size = content.size + extraBytes;
  return {
    size,
    read(start, end) {
      const own = content.read(start, Math.min(end, content.size));
      const filler = Math.min(end, size) - Math.max(start, content.size);
      return filler > 0 ? Buffer.concat([own, Buffer.alloc(filler)]) : own;
    },
  };
}

export function digestOfBytes(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** For contents too large to hash in one go: the event loop gets its turn between two pieces. */
export async function digestOf(content: Content): Promise<string> {
  const hash = createHash('sha256');
  for (let start = 0; start < content.size; start += PIECE_BYTES) {
    hash.update(content.read(start, Math.min(start + PIECE_BYTES, content.size)));
    await setImmediate();
  }
  return `sha256:${hash.digest('hex')}`;
}
