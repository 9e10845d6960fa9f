import { createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';

/** What a certificate says. */
export interface CertificateSubject {
  /** At most 64 characters of ASCII (CN). */
  readonly commonName: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * Returns a certificate that a private key (RSA or P-256) signs for itself, as PEM: X.509 version 1 (RFC 5280), which is
 * what identity providers take a public key in. It vouches for nothing but the key.
 */
export function selfSignedCertificate(
  privateKey: KeyObject,
  { commonName, notBefore, notAfter }: CertificateSubject,
): string {
  const algorithm = privateKey.asymmetricKeyType === 'ec' ? ECDSA_SHA256 : RSA_SHA256;
  const name = sequence(tlv(0x31, sequence(COMMON_NAME, tlv(0x0c, Buffer.from(commonName)))));
  const body = sequence(
    tlv(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(15)])),
    algorithm,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
  );
  const signature = tlv(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]));
  const lines = sequence(body, algorithm, signature)
    .toString('base64')
    .replaceAll(/.{64}(?!$)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts));
}

/** One value in DER: its tag, its length and itself. */
function tlv(tag: number, value: Buffer): Buffer {
  if (value.length < 0x80) return Buffer.concat([Buffer.from([tag, value.length]), value]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  const digits = length.subarray(length.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length]), digits, value]);
}

/** GeneralizedTime, which every year fits into. */
function time(instant: Date): Buffer {
  const text = instant.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
  // RFC 5280 section 4.1.2.5 wants the short form until 2049.
  return instant.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(`${text.slice(2)}Z`))
    : tlv(0x18, Buffer.from(`${text}Z`));
}

/** 2.5.4.3 */
const COMMON_NAME = tlv(0x06, Buffer.from('550403', 'hex'));
/** 1.2.840.113549.1.1.11, with the NULL that it takes. */
const RSA_SHA256 = sequence(tlv(0x06, Buffer.from('2a864886f70d01010b', 'hex')), Buffer.from([0x05, 0]));
/** 1.2.840.10045.4.3.2 */
const ECDSA_SHA256 = sequence(tlv(0x06, Buffer.from('2a8648ce3d040302', 'hex')));
