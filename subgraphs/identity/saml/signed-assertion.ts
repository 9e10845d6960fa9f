import { XMLSerializer } from '@xmldom/xmldom';
import { decryptXml, getVerifiedXml } from '@node-saml/node-saml/lib/xml.js';
import { ecdsaSignedXml } from './ecdsa-signature.ts';
import { lintAssertion, lintResponse, type LintedResponse, type LintOptions } from './lint.ts';
import { refuse } from './refusal.ts';
import { signersOf, type SignatureParts } from './signed-info.ts';
import { childOrNull, type XmlElement } from './xml-document.ts';
import { NS } from './xml-names.ts';

/** What a response is verified with. */
export interface VerificationKeys {
  /** The certificates of the identity provider that are valid now, as PEM. */
  readonly certificates: readonly string[];
  /** The private keys that assertions are encrypted for, as PEM, the one in use first. */
  readonly decryptionKeys: readonly string[];
  readonly options: LintOptions;
  /** Whether an assertion that came in clear is refused. */
  readonly encryptedOnly: boolean;
}

/** A response and its one assertion, which is vouched for to the last byte. */
export interface SignedAssertion {
  /** Parsed from the bytes that were signed, and from nothing else. */
  readonly assertion: XmlElement;
  /** Believed only to refuse: unless it was signed itself, anybody may have written what stands around the assertion. */
  readonly response: XmlElement;
}

/**
 * Verifies a response and returns the assertion that the identity provider signed. Each signature that is there must
 * be right; one at least must be. Refuses everything else; the claims of the assertion are not judged here.
 */
export async function verifySignedAssertion(text: string, keys: VerificationKeys): Promise<SignedAssertion> {
  const linted = lintResponse(text, keys.options);
  requireSuccess(linted.response);
  const signed = linted.signature === null ? null : lintResponse(verified(text, linted.signature, keys), keys.options);
  // In the document as it came: the canonical form of the response may lack namespaces that the assertion was signed with.
  const found = await assertionIn(text, linted, keys);
  const response = signed?.response ?? linted.response;
  if (found.signature !== null)
    return { assertion: lintAssertion(verified(found.text, found.signature, keys)).assertion, response };
  if (signed === null) return refuse('unsigned', 'no signature');
  return { assertion: (await assertionIn(text, signed, keys)).assertion, response };
}

/** An assertion and the document in which its signature is verified. */
interface FoundAssertion {
  readonly text: string;
  readonly assertion: XmlElement;
  readonly signature: SignatureParts | null;
}

/** Judged before anything is verified, since providers do not sign what says that nobody signed in. */
function requireSuccess(response: XmlElement): void {
  const status = childOrNull(response, NS.protocol, 'Status');
  const code = status === null ? null : childOrNull(status, NS.protocol, 'StatusCode');
  if (code?.getAttribute('Value') !== 'urn:oasis:names:tc:SAML:2.0:status:Success') refuse('status', 'no success');
  if (childOrNull(code, NS.protocol, 'StatusCode') !== null) refuse('status', 'a success with a reservation');
}

async function assertionIn(text: string, linted: LintedResponse, keys: VerificationKeys): Promise<FoundAssertion> {
  const { assertion, encrypted } = linted;
  if (assertion === null) return refuse('structure', 'no assertion');
  if (!encrypted) {
    if (keys.encryptedOnly) refuse('not_encrypted', 'an assertion in clear');
    return { text, assertion, signature: linted.assertionSignature };
  }
  const plain = await decrypted(assertion, keys);
  return { text: plain, ...lintAssertion(plain) };
}

/** Whatever fails, it fails in the same words: what went wrong would tell an attacker about the key. */
async function decrypted(encrypted: XmlElement, { decryptionKeys }: VerificationKeys): Promise<string> {
  const xml = new XMLSerializer().serializeToString(encrypted);
  const tried = await Promise.allSettled(decryptionKeys.map((key) => decryptXml(xml, key)));
  const opened = tried.find((attempt) => attempt.status === 'fulfilled');
  return opened?.value ?? refuse('decryption', 'not for our keys, or changed on the way');
}

/** Returns the signed bytes of the element that the signature stands in. */
function verified(text: string, signature: SignatureParts, { certificates }: VerificationKeys): string {
  if (certificates.length === 0) refuse('certificate', 'none is valid now');
  const [signer] = signersOf(signature, certificates);
  if (signer === undefined) return refuse('signature', 'of no certificate that is valid now');
  try {
    const bytes =
      signature.method.keyType === 'ec'
        ? ecdsaSignedXml(text, signature.element, signer)
        : getVerifiedXml(text, signature.element.parentNode as XmlElement, [signer]);
    return bytes ?? refuse('signature', 'of another document');
  } catch (cause) {
    return refuse('signature', 'of another document', cause);
  }
}
