import { createPrivateKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { RequestContext } from '#kit/request-context.ts';
import { connectionSecret, connectionUrl } from '../connections/connection.ts';
import type { IdentityConnection } from '../connections/model.ts';
import { selfSignedCertificate } from './self-signed-certificate.ts';

/** What the identity provider has to be told of us, for one connection. */
export interface ServiceProvider {
  /** Also the address of our metadata. */
  readonly entityId: string;
  /** The only address that responses for this connection are taken at. */
  readonly acsUrl: string;
  readonly startUrl: string;
}

/** A key of ours and the certificate that shows its public half. */
export interface ServiceKey {
  readonly privateKey: string;
  readonly certificate: string;
}

const KEY_YEARS = 10;
const RSA_BITS = 2_048;
/** Clocks of identity providers that are behind must not find our certificate too young. */
const BACKDATED_MS = 24 * 3_600_000;

/** Returns our names and addresses for a connection. */
export function serviceProvider(
  ctx: RequestContext,
  connection: Pick<IdentityConnection, 'id' | 'kind'>,
): ServiceProvider {
  const base = connectionUrl(ctx, connection);
  return { entityId: `${base}/metadata`, acsUrl: `${base}/acs`, startUrl: `${base}/start` };
}

/** Returns a new RSA key of ours with its certificate; it signs requests and opens assertions. */
export async function newServiceKey(commonName: string, now: Date): Promise<ServiceKey> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS });
  const notBefore = new Date(now.getTime() - BACKDATED_MS);
  const notAfter = new Date(notBefore);
  notAfter.setUTCFullYear(notBefore.getUTCFullYear() + KEY_YEARS);
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: selfSignedCertificate(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })), {
      commonName,
      notBefore,
      notAfter,
    }),
  };
}

/** Returns our private keys for a connection as PEM, the one in use first. */
export function servicePrivateKeys(ctx: RequestContext, connection: IdentityConnection): readonly string[] {
  const secret = connectionSecret(ctx, connection);
  if (secret === null) throw new Error('a SAML connection has keys');
  return JSON.parse(secret) as string[];
}
