import { createHash, type Hash } from 'node:crypto';
import { fail, ok, type Result } from './result.ts';

/** `algorithm:hex`, with an algorithm we can compute and lower-case hex of its length. Only {@link parseDigest} makes one. */
export type Digest = string & { readonly __brand: 'Digest' };

export type DigestAlgorithm = 'sha256' | 'sha512';

export interface BadDigest {
  readonly reason: string;
}

const hexLength: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };

/** OCI image-spec descriptor.md, "Digests". Algorithms other than sha256 and sha512 are refused: we could not verify them. */
export function parseDigest(text: string): Result<Digest, BadDigest> {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, Math.max(colon, 0));
  const hex = text.slice(colon + 1);
  if (colon < 1 || hex === '') return fail({ reason: 'a digest reads algorithm:hex' });
  if (!isAlgorithm(algorithm)) return fail({ reason: 'the digest algorithm is neither sha256 nor sha512' });
  if (hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) {
    return fail({ reason: `${algorithm} takes ${hexLength[algorithm]} lower-case hexadecimal digits` });
  }
  return ok(text as Digest);
}

export function isAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(hexLength, text);
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm;
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** A digest in the making, fed in the order of the bytes. */
export class Digester {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm, hash = createHash(algorithm)) {
    this.#algorithm = algorithm;
    this.#hash = hash;
  }

  /** Another one that goes on from here by itself. */
  fork(): Digester {
    return new Digester(this.#algorithm, this.#hash.copy());
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** Ends the digester: call once. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
  }
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const digester = new Digester(algorithm);
  digester.update(bytes);
  return digester.digest();
}
