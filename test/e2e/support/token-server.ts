import { createHash, createPrivateKey, createPublicKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { close, listen, type SeenRequest, seen } from './counting-proxy.ts';
import { run } from './program.ts';
import type { Scratch } from './scratch.ts';

const tokenSeconds = 300;

export interface Account {
  readonly username: string;
  readonly password: string;
  readonly actions: readonly ('pull' | 'push')[];
}

export interface TokenServerOptions {
  readonly scratch: Scratch;
  readonly port: number;
  readonly accounts: readonly Account[];
  /** What nobody may read without an account. */
  readonly isPrivate: (repository: string) => boolean;
  readonly requests: SeenRequest[];
}

interface Access {
  readonly type: string;
  readonly name: string;
  readonly actions: string[];
}

/** Hands out the tokens that Debian's docker-registry believes in, the way Docker Hub does. */
export class TokenServer implements AsyncDisposable {
  readonly issuer = 'e2e token server';
  readonly service = 'e2e registry';
  readonly certificateFile: string;
  readonly realm: string;
  readonly #options: TokenServerOptions;
  readonly #key: KeyObject;
  #server: Server | undefined;

  private constructor(options: TokenServerOptions, certificateFile: string, key: KeyObject) {
    this.#options = options;
    this.certificateFile = certificateFile;
    this.#key = key;
    this.realm = `http://127.0.0.1:${options.port}/token`;
  }

  static async create(options: TokenServerOptions): Promise<TokenServer> {
    const [keyFile, certificateFile] = [options.scratch.file('token.key'), options.scratch.file('token.crt')];
    const subject = ['-subj', '/CN=e2e token server', '-days', '2'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    await run({
      program: 'openssl',
      args: ['req', '-x509', ...curve, ...subject, '-keyout', keyFile, '-out', certificateFile],
    });
    return new TokenServer(options, certificateFile, createPrivateKey(await readFile(keyFile)));
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.#answer(request, response);
    });
    await listen(server, this.#options.port);
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await close(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const entry = seen('token', request);
    this.#options.requests.push(entry);
    const account = this.#accountOf(request);
    entry.status = account === 'refused' ? 401 : 200;
    entry.done = true;
    const body = account === 'refused' ? refusal : this.#tokenFor(account, entry.search.getAll('scope'));
    const text = JSON.stringify(body);
    entry.bytes = text.length;
    response.writeHead(entry.status, { 'content-type': 'application/json' }).end(text);
  }

  #accountOf(request: IncomingMessage): Account | undefined | 'refused' {
    const header = request.headers.authorization;
    if (header === undefined) return undefined;
    const [username, ...password] = Buffer.from(header.replace(/^Basic /i, ''), 'base64')
      .toString()
      .split(':');
    const known = this.#options.accounts.find((account) => account.username === username);
    return known?.password === password.join(':') ? known : 'refused';
  }

  /** As on Docker Hub, what is not granted is left out of the token; it is not an error. */
  #tokenFor(account: Account | undefined, scopes: readonly string[]): object {
    const now = Math.floor(Date.now() / 1000);
    const token = this.#signed({
      iss: this.issuer,
      sub: account?.username ?? '',
      aud: this.service,
      iat: now,
      nbf: now - 10,
      exp: now + tokenSeconds,
      jti: randomUUID(),
      access: scopes.flatMap((scope) => scope.split(' ')).map((scope) => this.#granted(scope, account)),
    });
    return { token, expires_in: tokenSeconds, issued_at: new Date(now * 1000).toISOString() };
  }

  #granted(scope: string, account: Account | undefined): Access {
    const [type = '', name = '', actions = ''] = scope.split(':');
    const anonymous = this.#options.isPrivate(name) ? [] : ['pull'];
    const allowed: readonly string[] = account?.actions ?? anonymous;
    return { type, name, actions: actions.split(',').filter((action) => allowed.includes(action)) };
  }

  #signed(claims: object): string {
    const header = { typ: 'JWT', alg: 'ES256', kid: keyId(this.#key) };
    const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(text), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }
}

const refusal = { errors: [{ code: 'UNAUTHORIZED', message: 'wrong username or password' }] };

/** How registry 2.x names a key: 240 bits of the public key's SHA-256 in twelve groups of base32. */
function keyId(key: KeyObject): string {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const bits = [...createHash('sha256').update(publicKey).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = (bits.match(/.{5}/g) ?? []).map(
    (five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)],
  );
  return (letters.join('').match(/.{4}/g) ?? []).join(':');
}
