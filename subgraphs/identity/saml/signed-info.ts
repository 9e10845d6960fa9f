import { constants, verify, X509Certificate, type KeyObject } from 'node:crypto';
import { SignedXml } from 'xml-crypto';
import { child, type XmlElement } from './xml-document.ts';
import { NS } from './xml-names.ts';

/** How a signature method verifies. */
interface Method {
  readonly keyType: 'rsa' | 'ec';
  readonly hash: string;
  /** What else the key is used with. */
  readonly how: { readonly padding?: number; readonly saltLength?: number; readonly dsaEncoding?: 'ieee-p1363' };
}

const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
/** In XML the value of an ECDSA signature is r and s side by side (RFC 6931 section 2.3.6), not DER. */
const EC = { dsaEncoding: 'ieee-p1363' } as const;
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };

/** The signature methods that are accepted; nothing with SHA-1, nothing symmetric. */
export const SIGNATURE_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  [`${MORE}rsa-sha256`, { keyType: 'rsa', hash: 'sha256', how: {} }],
  [`${MORE}rsa-sha512`, { keyType: 'rsa', hash: 'sha512', how: {} }],
  ['http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1', { keyType: 'rsa', hash: 'sha256', how: PSS }],
  [`${MORE}ecdsa-sha256`, { keyType: 'ec', hash: 'sha256', how: EC }],
  [`${MORE}ecdsa-sha384`, { keyType: 'ec', hash: 'sha384', how: EC }],
  [`${MORE}ecdsa-sha512`, { keyType: 'ec', hash: 'sha512', how: EC }],
]);

/** What a signature that the lint let through is made with. */
export interface SignatureParts {
  readonly element: XmlElement;
  readonly method: Method;
}

/**
 * Returns the certificates whose key has signed what the signature says of itself (SignedInfo), which is little and cheap
 * to verify: what nobody trusted has signed goes no further. That it speaks of this document is not known yet.
 */
export function signersOf({ element, method }: SignatureParts, certificates: readonly string[]): string[] {
  const info = child(element, [NS.signature, 'SignedInfo'], 'structure');
  const bytes = Buffer.from(new SignedXml().getCanonXml([NS.exclusive], info));
  const value = Buffer.from(child(element, [NS.signature, 'SignatureValue'], 'structure').textContent ?? '', 'base64');
  return certificates.filter((pem) => {
    const key = new X509Certificate(pem).publicKey;
    return key.asymmetricKeyType === method.keyType && isSigned({ bytes, value, key }, method);
  });
}

/** Returns whether the key has made the value over the bytes; the engine of XML signatures asks it for ECDSA. */
export function isSigned(
  { bytes, value, key }: { readonly bytes: Buffer; readonly value: Buffer; readonly key: KeyObject },
  { hash, how }: Method,
): boolean {
  return verify(hash, bytes, { key, ...how }, value);
}
