import { X509Certificate } from 'node:crypto';
import { fail } from '#schema/errors.ts';

/** A certificate whose key may sign assertions. */
export interface SigningCertificate {
  readonly pem: string;
  /** SHA-256 of the certificate, in lower-case hexadecimal; what it is named by. */
  readonly fingerprint: string;
  readonly subject: string;
  readonly validFrom: Date;
  readonly validUntil: Date;
}

/** That long before its end a certificate is warned of. */
export const EXPIRY_WARNING_MS = 30 * 24 * 3_600_000;
/** Enough for a rotation that overlaps with another. */
export const MAX_CERTIFICATES = 8;

const MAX_LENGTH = 16_384;
const MIN_RSA_BITS = 2_048;
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
const PEM = /^-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----$/;

/**
 * Reads a certificate given as PEM or as its bare base 64 (as metadata holds it). What is none, or has a key too weak to
 * believe, is BAD_USER_INPUT.
 */
export function readCertificate(text: string): SigningCertificate {
  const trimmed = text.length > MAX_LENGTH ? '' : text.trim();
  const base64 = (PEM.exec(trimmed)?.[1] ?? trimmed).replaceAll(/\s+/g, '');
  const certificate = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? parse(Buffer.from(base64, 'base64')) : null;
  if (certificate === null)
    return fail('BAD_USER_INPUT', 'no certificate', { hint: 'A certificate in PEM or base 64 is expected.' });
  requireStrength(certificate);
  return {
    pem: certificate.toString(),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: certificate.subject.replaceAll('\n', ', ').slice(0, 500),
    validFrom: new Date(certificate.validFrom),
    validUntil: new Date(certificate.validTo),
  };
}

/** Tells whether a certificate is valid at that time. */
export function isValidAt({ validFrom, validUntil }: SigningCertificate, now: Date): boolean {
  return validFrom <= now && now < validUntil;
}

/** Tells whether a certificate that is not over yet will be within thirty days. */
export function expiresSoon({ validUntil }: SigningCertificate, now: Date): boolean {
  return now < validUntil && validUntil.getTime() - now.getTime() <= EXPIRY_WARNING_MS;
}

function parse(der: Buffer): X509Certificate | null {
  try {
    return new X509Certificate(der);
  } catch {
    return null;
  }
}

function requireStrength({ publicKey }: X509Certificate): void {
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey;
  const strong =
    asymmetricKeyType === 'rsa'
      ? (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS
      : asymmetricKeyType === 'ec' && CURVES.has(asymmetricKeyDetails?.namedCurve ?? '');
  if (!strong)
    fail('BAD_USER_INPUT', 'a weak key', {
      hint: `Its key must be RSA of at least ${MIN_RSA_BITS} bits, or of the curve P-256, P-384 or P-521.`,
    });
}
