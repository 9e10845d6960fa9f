import { X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, ExtendedKeyUsage, id_ce_extKeyUsage, id_kp_timeStamping } from '@peculiar/asn1-x509';
import { ConfigError } from '#schema/config.ts';

/** What a path of certificates may be made of, and when it has to have been valid. */
export interface PathParts {
  /** Those that came along: no reason to trust anything. */
  readonly carried: readonly X509Certificate[];
  readonly trusted: readonly X509Certificate[];
  readonly time: Date;
}

/** No authority has more steps to its root. */
const MAX_STEPS = 6;
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
const MAX_CERTIFICATES = 100;

/**
 * Tells whether a certificate may sign time stamps, for nothing else (RFC 3161 section 2.3), and is one of the trusted or
 * leads to one by signatures of certificates that may certify, each valid at the time. Whether one was revoked is not
 * asked: that needs the network.
 */
export function isTrusted(signer: X509Certificate, parts: PathParts): boolean {
  return isTimestamping(signer) && leadsToTrust(signer, parts, MAX_STEPS);
}

/** Returns the certificates of a PEM text; none, more than 100, or one that cannot be read is a ConfigError. */
export function parseCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length === 0 || blocks.length > MAX_CERTIFICATES)
    throw new ConfigError('it holds no certificates in PEM form');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    throw new ConfigError('a certificate in it cannot be read');
  }
}

function leadsToTrust(certificate: X509Certificate, parts: PathParts, steps: number): boolean {
  if (steps === 0 || !isValidAt(certificate, parts.time)) return false;
  if (parts.trusted.some((trusted) => trusted.fingerprint256 === certificate.fingerprint256)) return true;
  return [...parts.trusted, ...parts.carried].some(
    (issuer) =>
      issuer.fingerprint256 !== certificate.fingerprint256 &&
      issuer.ca &&
      certificate.checkIssued(issuer) &&
      certificate.verify(issuer.publicKey) &&
      leadsToTrust(issuer, parts, steps - 1),
  );
}

function isValidAt({ validFrom, validTo }: X509Certificate, time: Date): boolean {
  return new Date(validFrom) <= time && time <= new Date(validTo);
}

function isTimestamping({ raw }: X509Certificate): boolean {
  const { tbsCertificate } = AsnConvert.parse(raw, Certificate);
  const extension = tbsCertificate.extensions?.find(({ extnID }) => extnID === id_ce_extKeyUsage);
  if (extension?.critical !== true) return false;
  const usages = AsnConvert.parse(extension.extnValue, ExtendedKeyUsage);
  return usages.length === 1 && usages[0] === id_kp_timeStamping;
}
