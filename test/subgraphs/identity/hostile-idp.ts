import { createHmac, KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import { afterAll } from 'vitest';

/** An identity provider that says whatever a test wants. */
export interface HostileIdp {
  readonly issuer: string;
  readonly key: CryptoKey;
  /** The public key as PEM, which an attacker may use as a secret. */
  readonly publicPem: string;
  /** Members of the discovery document that differ. */
  discovery: Record<string, unknown>;
  /** What the token endpoint answers; an id_token, or a status with a body. */
  answer: () => Promise<TokenAnswer>;
  userinfo: Record<string, unknown>;
  /** How the document that is asked for next is sent; by default as JSON. */
  serveDiscovery: ((res: { redirect(to: string): void; send(body: string): void }) => void) | null;
  /** Bodies that the token endpoint got. */
  readonly tokenRequests: URLSearchParams[];
}

/** An answer of the token endpoint. */
export type TokenAnswer = { readonly idToken: string } | { readonly status: number; readonly body: object };

/** Starts one; it is closed when the test file ends. */
export async function openHostileIdp(): Promise<HostileIdp> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk: JWK = { ...(await exportJWK(publicKey)), kid: 'known', use: 'sig' };
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const send = (status: number, body: object | string) => {
          res.writeHead(status, { 'content-type': 'application/json' });
          res.end(typeof body === 'string' ? body : JSON.stringify(body));
        };
        if (req.url === '/.well-known/openid-configuration') {
          if (idp.serveDiscovery === null) return send(200, discoveryOf(idp));
          return idp.serveDiscovery({
            redirect: (to) => void res.writeHead(302, { location: to }).end(),
            send: (body) => send(200, body),
          });
        }
        if (req.url === '/jwks') return send(200, { keys: [jwk] });
        if (req.url === '/userinfo') return send(200, idp.userinfo);
        idp.tokenRequests.push(new URLSearchParams(Buffer.concat(chunks).toString()));
        void idp
          .answer()
          .then((answer) =>
            'idToken' in answer
              ? send(200, { access_token: 'access', token_type: 'Bearer', id_token: answer.idToken })
              : send(answer.status, answer.body),
          );
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterAll(() => new Promise((resolve) => server.close(resolve).closeAllConnections()));
  const idp: HostileIdp = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key: privateKey,
    publicPem: await exportSPKI(publicKey),
    discovery: {},
    answer: async () => ({ status: 500, body: {} }),
    userinfo: {},
    serveDiscovery: null,
    tokenRequests: [],
  };
  return idp;
}

/** Signs claims as the identity provider does, or with another header. */
export async function signed(
  { key }: Pick<HostileIdp, 'key'>,
  claims: JWTPayload,
  header: { readonly kid?: string; readonly typ?: string; readonly alg?: string } = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'known', ...header }).sign(KeyObject.from(key));
}

/** Makes a token without a signature. */
export function unsigned(claims: JWTPayload, alg = 'none'): string {
  return `${encoded({ alg, typ: 'JWT' })}.${encoded(claims)}.`;
}

/** Signs claims with a text as the shared secret. */
export function signedWithSecret(claims: JWTPayload, secret: string): string {
  const body = `${encoded({ alg: 'HS256', kid: 'known' })}.${encoded(claims)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function discoveryOf({ issuer, discovery }: HostileIdp): object {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    userinfo_endpoint: `${issuer}/userinfo`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
    ...discovery,
  };
}
