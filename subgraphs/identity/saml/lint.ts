import { refuse } from './refusal.ts';
import {
  attribute,
  child,
  childOrNull,
  children,
  childrenNamed,
  elementsOf,
  isElement,
  parseXml,
  textOf,
  type XmlElement,
} from './xml-document.ts';
import {
  AUTHENTICATED_CIPHERS,
  CBC_CIPHERS,
  DIGEST_METHODS,
  KEY_TRANSPORT,
  KEY_TRANSPORT_DIGEST,
  NS,
  TRANSFORMS,
} from './xml-names.ts';
import { SIGNATURE_METHODS, type SignatureParts } from './signed-info.ts';
import { MESSAGE_LIMITS } from './xml-scan.ts';

/** A response in which everything stands at the one place where it may. */
export interface LintedResponse {
  readonly response: XmlElement;
  readonly signature: SignatureParts | null;
  /** The only assertion, plain or encrypted; null where the status says that there is none. */
  readonly assertion: XmlElement | null;
  readonly encrypted: boolean;
  /** That of an assertion in clear; an encrypted one shows its own when it is decrypted. */
  readonly assertionSignature: SignatureParts | null;
}

/** An assertion that stands for itself. */
export interface LintedAssertion {
  readonly assertion: XmlElement;
  readonly signature: SignatureParts | null;
}

/** What a connection takes beyond what all take. */
export interface LintOptions {
  /** Whether an assertion may be encrypted in a way that detects no change of it. */
  readonly cbc: boolean;
}

const ID = /^[A-Za-z_][\w.-]{0,255}$/;
const BASE64 = /^[A-Za-z0-9+/=\s]+$/;
const ID_NAMES: ReadonlySet<string> = new Set(['id', 'assertionid', 'responseid']);

/** Names that only these namespaces may use: what chooses elements by their local name finds nothing else. */
const OWNERS: ReadonlyMap<string, string> = new Map([
  ...['Response', 'Status', 'StatusCode', 'StatusMessage', 'StatusDetail'].map((name) => [name, NS.protocol] as const),
  ...[
    'Assertion',
    'EncryptedAssertion',
    'Issuer',
    'Subject',
    'NameID',
    'SubjectConfirmation',
    'SubjectConfirmationData',
    'Conditions',
    'AudienceRestriction',
    'Audience',
    'OneTimeUse',
    'ProxyRestriction',
    'AuthnStatement',
    'AuthnContext',
    'AuthnContextClassRef',
    'AuthnContextDeclRef',
    'AuthenticatingAuthority',
    'SubjectLocality',
    'AttributeStatement',
    'Attribute',
    'AttributeValue',
  ].map((name) => [name, NS.assertion] as const),
  ...[
    'Signature',
    'SignedInfo',
    'CanonicalizationMethod',
    'SignatureMethod',
    'Reference',
    'Transforms',
    'Transform',
    'DigestValue',
    'SignatureValue',
    'KeyInfo',
    'X509Data',
    'X509Certificate',
    'X509IssuerSerial',
    'X509IssuerName',
    'X509SerialNumber',
    'X509SubjectName',
    'X509SKI',
    'KeyName',
    'KeyValue',
    'RSAKeyValue',
    'Modulus',
    'Exponent',
    'DigestMethod',
  ].map((name) => [name, NS.signature] as const),
  ...['EncryptedData', 'EncryptedKey', 'EncryptionMethod', 'CipherData', 'CipherValue', 'OAEPparams'].map(
    (name) => [name, NS.encryption] as const,
  ),
  ['InclusiveNamespaces', NS.exclusive],
  ...['ECKeyValue', 'NamedCurve', 'PublicKey'].map((name) => [name, NS.signature11] as const),
]);

/** Where these may stand, by the name of the parent; `''` is the root. */
const PLACES: ReadonlyMap<string, readonly string[]> = new Map([
  ['Response', ['']],
  ['Status', ['Response']],
  ['Assertion', ['Response', '']],
  ['EncryptedAssertion', ['Response']],
  ['Signature', ['Response', 'Assertion']],
  ['Issuer', ['Response', 'Assertion']],
  ['Subject', ['Assertion']],
  ['NameID', ['Subject', 'SubjectConfirmation', 'AttributeValue']],
  ['SubjectConfirmation', ['Subject']],
  ['Conditions', ['Assertion']],
  ['AuthnStatement', ['Assertion']],
  ['AttributeStatement', ['Assertion']],
  ['EncryptedData', ['EncryptedAssertion']],
  ['EncryptedKey', ['KeyInfo']],
  ['KeyInfo', ['Signature', 'EncryptedData', 'EncryptedKey']],
]);

/** Refuses a response that is not of the one accepted shape; linear in its size, nothing in it is believed yet. */
export function lintResponse(text: string, options: LintOptions): LintedResponse {
  const response = parseXml(text, MESSAGE_LIMITS);
  if (!isElement(response, NS.protocol, 'Response')) refuse('structure', 'the root is no Response');
  lintTree(response);
  lintChildren(response, ['Issuer', 'Signature', 'Status', 'Assertion', 'EncryptedAssertion']);
  const plain = childOrNull(response, NS.assertion, 'Assertion');
  const encrypted = childOrNull(response, NS.assertion, 'EncryptedAssertion');
  if (plain !== null && encrypted !== null) refuse('structure', 'several assertions');
  if (encrypted !== null) lintEncryption(encrypted, options);
  return {
    response,
    signature: lintSignature(response),
    assertion: plain ?? encrypted,
    encrypted: encrypted !== null,
    assertionSignature: plain === null ? null : lintSignature(plain),
  };
}

/** Refuses an assertion that is not of the one accepted shape. */
export function lintAssertion(text: string): LintedAssertion {
  const assertion = parseXml(text, MESSAGE_LIMITS);
  if (!isElement(assertion, NS.assertion, 'Assertion')) refuse('structure', 'the root is no Assertion');
  lintTree(assertion);
  return { assertion, signature: lintSignature(assertion) };
}

function lintTree(root: XmlElement): void {
  const ids = new Set<string>();
  for (const element of elementsOf(root)) {
    lintName(element, element === root ? '' : parentName(element));
    lintIds(element, ids);
    if (isElement(element, NS.assertion, 'Assertion')) lintAssertionChildren(element);
  }
}

function parentName(element: XmlElement): string {
  return (element.parentNode as XmlElement | null)?.localName ?? '';
}

function lintName(element: XmlElement, parent: string): void {
  const name = element.localName;
  const owner = OWNERS.get(name);
  if (owner === undefined) refuse('structure', 'an element that is not known here');
  if (element.namespaceURI !== owner) refuse('structure', `${name} of another namespace`);
  if (PLACES.get(name)?.includes(parent) === false) refuse('structure', `${name} where none may stand`);
}

function lintIds(element: XmlElement, ids: Set<string>): void {
  for (const { name, localName, value } of Array.from(element.attributes)) {
    if (!ID_NAMES.has((localName ?? name).toLowerCase())) continue;
    // One with a prefix is an id to some readers and none to others.
    if (name !== localName || !ID.test(value) || ids.has(value))
      refuse('structure', 'an id that is none or stands twice');
    ids.add(value);
  }
}

function lintAssertionChildren(assertion: XmlElement): void {
  lintChildren(assertion, ['Issuer', 'Signature', 'Subject', 'Conditions', 'AuthnStatement', 'AttributeStatement']);
}

/** Every child is one of these and, but for statements, stands once. */
function lintChildren(parent: XmlElement, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const { localName } of children(parent)) {
    if (!names.includes(localName)) refuse('structure', `${localName} in ${parent.localName}`);
    if (seen.has(localName) && !localName.endsWith('Statement')) refuse('structure', `several ${localName}`);
    seen.add(localName);
  }
}

/** The only signature that is verified: one reference, to its own parent, all of it, in the one canonical form. */
function lintSignature(signed: XmlElement): SignatureParts | null {
  const element = childOrNull(signed, NS.signature, 'Signature');
  if (element === null) return null;
  lintChildren(element, ['SignedInfo', 'SignatureValue', 'KeyInfo']);
  const info = child(element, [NS.signature, 'SignedInfo'], 'structure');
  lintChildren(info, ['CanonicalizationMethod', 'SignatureMethod', 'Reference']);
  const canonicalization = child(info, [NS.signature, 'CanonicalizationMethod'], 'structure');
  if (attribute(canonicalization, 'Algorithm') !== NS.exclusive || children(canonicalization).length > 0)
    refuse('algorithm', 'another canonical form');
  const named = child(info, [NS.signature, 'SignatureMethod'], 'structure');
  const method = SIGNATURE_METHODS.get(attribute(named, 'Algorithm') ?? '');
  if (method === undefined || children(named).length > 0) return refuse('algorithm', 'another signature method');
  lintReference(child(info, [NS.signature, 'Reference'], 'structure'), attribute(signed, 'ID') ?? '');
  lintBase64(child(element, [NS.signature, 'SignatureValue'], 'structure'));
  return { element, method };
}

function lintReference(reference: XmlElement, id: string): void {
  lintChildren(reference, ['Transforms', 'DigestMethod', 'DigestValue']);
  if (id === '' || attribute(reference, 'URI') !== `#${id}`) refuse('structure', 'a signature of something else');
  const transforms = childrenNamed(
    child(reference, [NS.signature, 'Transforms'], 'algorithm'),
    NS.signature,
    'Transform',
  );
  const names = transforms.map((transform) => attribute(transform, 'Algorithm'));
  if (names.length !== TRANSFORMS.length || names.some((name, at) => name !== TRANSFORMS[at]))
    refuse('algorithm', 'other transforms');
  const digest = child(reference, [NS.signature, 'DigestMethod'], 'structure');
  if (!DIGEST_METHODS.has(attribute(digest, 'Algorithm') ?? '')) refuse('algorithm', 'another digest');
  lintBase64(child(reference, [NS.signature, 'DigestValue'], 'structure'));
}

function lintEncryption(encrypted: XmlElement, { cbc }: LintOptions): void {
  lintChildren(encrypted, ['EncryptedData']);
  const data = child(encrypted, [NS.encryption, 'EncryptedData'], 'structure');
  lintChildren(data, ['EncryptionMethod', 'KeyInfo', 'CipherData']);
  const cipher = attribute(child(data, [NS.encryption, 'EncryptionMethod'], 'algorithm'), 'Algorithm') ?? '';
  if (![...AUTHENTICATED_CIPHERS, ...(cbc ? CBC_CIPHERS : [])].includes(cipher)) refuse('algorithm', 'another cipher');
  const keyInfo = child(data, [NS.signature, 'KeyInfo'], 'structure');
  lintChildren(keyInfo, ['EncryptedKey']);
  lintEncryptedKey(child(keyInfo, [NS.encryption, 'EncryptedKey'], 'structure'));
  lintBase64(cipherValue(data));
}

function lintEncryptedKey(key: XmlElement): void {
  lintChildren(key, ['EncryptionMethod', 'KeyInfo', 'CipherData']);
  const method = child(key, [NS.encryption, 'EncryptionMethod'], 'algorithm');
  const digest = childOrNull(method, NS.signature, 'DigestMethod');
  if (attribute(method, 'Algorithm') !== KEY_TRANSPORT) refuse('algorithm', 'another key transport');
  if (children(method).length > (digest === null ? 0 : 1)) refuse('algorithm', 'parameters of the key transport');
  if (digest !== null && attribute(digest, 'Algorithm') !== KEY_TRANSPORT_DIGEST) refuse('algorithm', 'another digest');
  lintBase64(cipherValue(key));
}

function cipherValue(parent: XmlElement): XmlElement {
  const data = child(parent, [NS.encryption, 'CipherData'], 'structure');
  return child(data, [NS.encryption, 'CipherValue'], 'structure');
}

function lintBase64(element: XmlElement): void {
  if (!BASE64.test(textOf(element))) refuse('structure', `${element.localName} is not base 64`);
}
