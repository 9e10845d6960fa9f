import {
  createCipheriv,
  createSign,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { DOMParser } from '@xmldom/xmldom';
import { SignedXml, type SignatureAlgorithm } from 'xml-crypto';
import { selfSignedCertificate } from '../../../subgraphs/identity/saml/self-signed-certificate.ts';

/** An identity provider of a test, with a key of its own. */
export interface TestIdp {
  readonly entityId: string;
  readonly key: KeyObject;
  readonly certificate: string;
}

const DAY_MS = 24 * 3_600_000;
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
const ENC = 'http://www.w3.org/2001/04/xmlenc#';
const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';

/** What an identity provider is made with; what is left out is usual. */
export interface IdpChange {
  readonly entityId?: string;
  readonly kind?: 'rsa' | 'ec';
  /** From when and until when its certificate is valid, in days from now. */
  readonly days?: readonly [from: number, until: number];
}

/** Makes an identity provider whose certificate is valid around `now`. */
export function newIdp(now: Date, change: IdpChange = {}): TestIdp {
  const { entityId = 'https://idp.example/saml', kind = 'rsa', days = [-30, 365] } = change;
  const key =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
      : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  return { entityId, key, certificate: certificateFor(key, now, days) };
}

/** Returns another certificate for the same key. */
export function certificateFor(key: KeyObject, now: Date, [from, until]: readonly [number, number]): string {
  return selfSignedCertificate(key, {
    commonName: 'idp.example',
    notBefore: new Date(now.getTime() + from * DAY_MS),
    notAfter: new Date(now.getTime() + until * DAY_MS),
  });
}

/** What a response says; a test changes what it is about. */
export interface Said {
  readonly issuer: string;
  /** The issuer of the envelope; null leaves it out. */
  readonly responseIssuer: string | null;
  readonly audience: string;
  readonly recipient: string;
  readonly destination: string | null;
  /** Null leaves it out of both places. */
  readonly inResponseTo: string | null;
  readonly now: Date;
  readonly responseId: string;
  readonly assertionId: string;
  readonly nameId: string;
  readonly nameIdFormat: string | null;
  readonly attributes: Readonly<Record<string, readonly string[]>>;
}

/** Returns the instant of an offset from now, as XML writes it. */
export function at(now: Date, offsetMs: number): string {
  return new Date(now.getTime() + offsetMs).toISOString();
}

/** Returns the assertion that is right for what is said. */
export function assertionXml(said: Said): string {
  const { now } = said;
  const format = said.nameIdFormat === null ? '' : ` Format="${said.nameIdFormat}"`;
  const answers = said.inResponseTo === null ? '' : ` InResponseTo="${said.inResponseTo}"`;
  const attributes = Object.entries(said.attributes).map(
    ([name, values]) =>
      `<saml:Attribute Name="${name}">${values.map((value) => `<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">${value}</saml:AttributeValue>`).join('')}</saml:Attribute>`,
  );
  return (
    `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="${said.assertionId}" Version="2.0" IssueInstant="${at(now, -1000)}">` +
    `<saml:Issuer>${said.issuer}</saml:Issuer>` +
    `<saml:Subject><saml:NameID${format}>${said.nameId}</saml:NameID>` +
    `<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">` +
    `<saml:SubjectConfirmationData NotOnOrAfter="${at(now, 300_000)}" Recipient="${said.recipient}"${answers}/></saml:SubjectConfirmation></saml:Subject>` +
    `<saml:Conditions NotBefore="${at(now, -300_000)}" NotOnOrAfter="${at(now, 300_000)}"><saml:AudienceRestriction><saml:Audience>${said.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
    `<saml:AuthnStatement AuthnInstant="${at(now, -5000)}" SessionIndex="_s1" SessionNotOnOrAfter="${at(now, 28_800_000)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
    (attributes.length === 0 ? '' : `<saml:AttributeStatement>${attributes.join('')}</saml:AttributeStatement>`) +
    `</saml:Assertion>`
  );
}

/** Returns a response around what is inside. */
export function responseXml(said: Said, inside: string): string {
  const destination = said.destination === null ? '' : ` Destination="${said.destination}"`;
  const answers = said.inResponseTo === null ? '' : ` InResponseTo="${said.inResponseTo}"`;
  const issuer =
    said.responseIssuer === null
      ? ''
      : `<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">${said.responseIssuer}</saml:Issuer>`;
  return (
    `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="${said.responseId}" Version="2.0" IssueInstant="${at(said.now, 0)}"${destination}${answers}>` +
    `${issuer}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>${inside}</samlp:Response>`
  );
}

/** How an element is signed; what is left out is as it should be. */
export interface Signing {
  readonly method?: string;
  readonly digest?: string;
  readonly transforms?: readonly string[];
  readonly canonicalization?: string;
  /** What is put into KeyInfo; by default the certificate. */
  readonly keyInfo?: string | null;
  /** The prefix of the signature's own elements; by default ds, `null` for none. */
  readonly prefix?: string | null;
  /** Prefixes that count as used. */
  readonly inclusive?: readonly string[];
  /** Another element that is referenced too. */
  readonly alsoReference?: string;
  /** Where the signature stands instead of behind the issuer of the signed element, as XPath. */
  readonly place?: { readonly reference: string; readonly action: 'append' | 'prepend' | 'before' | 'after' };
}

/** Signs the element that has the id, inside its document. */
export function sign(
  xml: string,
  id: string,
  idp: Pick<TestIdp, 'key' | 'certificate'>,
  signing: Signing = {},
): string {
  const kind = idp.key.asymmetricKeyType === 'ec' ? 'ecdsa' : 'rsa';
  const {
    method = `${MORE}${kind}-sha256`,
    digest = `${ENC}sha256`,
    transforms = [ENVELOPED, EXCLUSIVE],
    canonicalization = EXCLUSIVE,
    keyInfo,
    place = { reference: `//*[@ID="${id}"]/*[local-name(.)="Issuer"]`, action: 'after' },
  } = signing;
  const engine = new SignedXml({
    privateKey: idp.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicCert: idp.certificate,
    signatureAlgorithm: method,
    canonicalizationAlgorithm: canonicalization,
    ...(keyInfo === undefined ? {} : { getKeyInfoContent: () => keyInfo }),
  });
  for (const hash of ['sha256', 'sha384', 'sha512'])
    engine.SignatureAlgorithms[`${MORE}ecdsa-${hash}`] = ecdsaSigner(hash);
  engine.HashAlgorithms[`${MORE}md5`] = engine.HashAlgorithms['http://www.w3.org/2000/09/xmldsig#sha1'] as never;
  for (const reference of [id, ...(signing.alsoReference === undefined ? [] : [signing.alsoReference])])
    engine.addReference({
      xpath: `//*[@ID="${reference}"]`,
      transforms: [...transforms],
      digestAlgorithm: digest,
      inclusiveNamespacesPrefixList: [...(signing.inclusive ?? [])],
    });
  if (method.endsWith('hmac-sha1')) engine.enableHMAC();
  const { prefix = 'ds' } = signing;
  engine.computeSignature(xml, { ...(prefix === null ? {} : { prefix }), location: place });
  return engine.getSignedXml();
}

/** Signs anew what the one signature of a document says of itself, after a change of it. */
export function resign(xml: string, idp: Pick<TestIdp, 'key'>): string {
  const document = new DOMParser().parseFromString(xml, 'text/xml');
  const info = document.getElementsByTagNameNS('http://www.w3.org/2000/09/xmldsig#', 'SignedInfo').item(0);
  if (info === null) throw new Error('the document is signed');
  const value = createSign('sha256')
    .update(new SignedXml().getCanonXml([EXCLUSIVE], info))
    .sign(idp.key, 'base64');
  return xml.replace(/(SignatureValue>)[^<]*/, `$1${value}`);
}

/** How an assertion is encrypted; by default AES-256-GCM under RSA-OAEP. */
export interface Encrypting {
  readonly cipher?: 'aes256-gcm' | 'aes128-gcm' | 'aes256-cbc' | 'aes128-cbc';
  readonly keyTransport?: string;
  readonly padding?: 'oaep' | 'pkcs1';
}

/** Returns an EncryptedAssertion for the holder of the certificate (XML Encryption 1.1). */
export function encrypt(assertion: string, certificate: string, encrypting: Encrypting = {}): string {
  const { cipher = 'aes256-gcm', keyTransport = `${ENC}rsa-oaep-mgf1p`, padding = 'oaep' } = encrypting;
  const [, bits = '256', mode = 'gcm'] = /^aes(\d+)-(\w+)$/.exec(cipher) ?? [];
  const key = randomBytes(Number(bits) / 8);
  const iv = randomBytes(mode === 'gcm' ? 12 : 16);
  const aes = createCipheriv(`aes-${bits}-${mode}` as 'aes-256-gcm', key, iv);
  const parts = [iv, aes.update(assertion, 'utf8'), aes.final()];
  const data = Buffer.concat(mode === 'gcm' ? [...parts, aes.getAuthTag()] : parts).toString('base64');
  const wrapped = publicEncrypt(
    { key: new X509Certificate(certificate).publicKey, padding: padding === 'oaep' ? 4 : 1, oaepHash: 'sha1' },
    key,
  ).toString('base64');
  const space = mode === 'gcm' ? 'http://www.w3.org/2009/xmlenc11#' : ENC;
  return (
    `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="${ENC}" Type="${ENC}Element">` +
    `<xenc:EncryptionMethod Algorithm="${space}${cipher}"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>` +
    `<xenc:EncryptionMethod Algorithm="${keyTransport}"/><xenc:CipherData><xenc:CipherValue>${wrapped}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>` +
    `<xenc:CipherData><xenc:CipherValue>${data}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`
  );
}

function ecdsaSigner(hash: string): new () => SignatureAlgorithm {
  return class {
    getSignature = (material: string, key: string) =>
      createSign(hash).update(material).sign({ key, dsaEncoding: 'ieee-p1363' }, 'base64');
    verifySignature = () => false;
    getAlgorithmName = () => `${MORE}ecdsa-${hash}`;
  };
}
