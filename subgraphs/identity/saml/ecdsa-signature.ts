import { createPublicKey, type KeyLike } from 'node:crypto';
import { SignedXml, type SignatureAlgorithm } from 'xml-crypto';
import { isSigned, SIGNATURE_METHODS } from './signed-info.ts';

/**
 * Returns the canonical bytes that an ECDSA signature with the certificate vouches for, or null where it does not. The
 * signature has the shape that the lint leaves; its engine is the one node-saml uses for RSA, which itself knows no
 * ECDSA. What KeyInfo says is not read.
 */
export function ecdsaSignedXml(text: string, signature: Node, certificate: string): string | null {
  const engine = new SignedXml({ publicCert: certificate, getCertFromKeyInfo: () => null });
  engine.SignatureAlgorithms = ALGORITHMS;
  engine.loadSignature(signature);
  return engine.checkSignature(text) ? (engine.getSignedReferences()[0] ?? null) : null;
}

const ALGORITHMS = Object.fromEntries(
  [...SIGNATURE_METHODS].filter(([, { keyType }]) => keyType === 'ec').map(([uri]) => [uri, algorithm(uri)]),
);

function algorithm(uri: string): new () => SignatureAlgorithm {
  return class {
    verifySignature = (material: string, key: KeyLike, value: string) => {
      const method = SIGNATURE_METHODS.get(uri);
      const signed = { bytes: Buffer.from(material), value: Buffer.from(value, 'base64'), key: createPublicKey(key) };
      return method !== undefined && isSigned(signed, method);
    };
    getSignature = () => {
      throw new Error('it verifies alone');
    };
    getAlgorithmName = () => uri;
  };
}
