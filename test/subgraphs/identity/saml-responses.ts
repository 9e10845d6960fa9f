import {
  assertionXml,
  at,
  encrypt,
  resign,
  responseXml,
  sign,
  type Said,
  type Signing,
  type TestIdp,
} from './saml-identity-provider.ts';

/** What a right response is made from. */
export interface ResponseKit {
  readonly said: Said;
  readonly idp: TestIdp;
  readonly certificate: string;
}

/** A response that a known product sends, or that the standard allows; it has to be accepted. */
export interface RightResponse {
  readonly name: string;
  readonly document: (kit: ResponseKit) => string;
  /** What the assertion says otherwise. */
  readonly change?: Partial<Said>;
  /** The kind of key it is signed with. */
  readonly kind?: 'rsa' | 'ec';
}

const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
const FORMAT = 'urn:oasis:names:tc:SAML:1.1:nameid-format:';
const CLAIMS = 'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/';
const BOB = 'bob@acme.example';

function signedAssertion(signing: Signing = {}): RightResponse['document'] {
  return ({ said, idp }) => responseXml(said, sign(assertionXml(said), said.assertionId, idp, signing));
}

function signedResponse({ said, idp }: ResponseKit): string {
  return sign(responseXml(said, assertionXml(said)), said.responseId, idp);
}

function changed(change: (assertion: string, kit: ResponseKit) => string): RightResponse['document'] {
  return (kit) => responseXml(kit.said, sign(change(assertionXml(kit.said), kit), kit.said.assertionId, kit.idp));
}

/** Okta: prefixes saml2 and saml2p, both signed, `xs` counts as used. */
function okta({ said, idp }: ResponseKit): string {
  const assertion = assertionXml(said)
    .replaceAll('saml:', 'saml2:')
    .replace('xmlns:saml=', 'xmlns:saml2=')
    .replace('<saml2:Assertion ', '<saml2:Assertion xmlns:xs="http://www.w3.org/2001/XMLSchema" ')
    .replace('<saml2:Issuer>', '<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">');
  const signed = sign(assertion, said.assertionId, idp, { inclusive: ['xs'] });
  // The signer writes the prefixes into both transforms, which nobody else does.
  const inside = resign(
    signed.replace(/(enveloped-signature")><InclusiveNamespaces[^>]*><\/ds:Transform>/, '$1/>'),
    idp,
  );
  const response = responseXml(said, inside)
    .replaceAll('samlp:', 'saml2p:')
    .replace('xmlns:samlp=', 'xmlns:saml2p=')
    .replace(
      '<saml:Issuer xmlns:saml=',
      '<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2=',
    )
    .replace('</saml:Issuer><saml2p', '</saml2:Issuer><saml2p');
  return `<?xml version="1.0" encoding="UTF-8"?>${sign(response, said.responseId, idp)}`;
}

/** Entra ID: default namespaces everywhere, the assertion signed, claims as URIs. */
function entra({ said, idp }: ResponseKit): string {
  const assertion = assertionXml(said).replaceAll('saml:', '').replace('xmlns:saml=', 'xmlns=');
  const response = responseXml(said, sign(assertion, said.assertionId, idp, { prefix: null }));
  return response.replace('<saml:Issuer xmlns:saml=', '<Issuer xmlns=').replace('</saml:Issuer>', '</Issuer>');
}

/** Keycloak: prefix dsig, the response signed, each role in an attribute of its own, the key itself in KeyInfo. */
function keycloak({ said, idp }: ResponseKit): string {
  const role = (name: string) =>
    `<saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic" FriendlyName="Role"><saml:AttributeValue>${name}</saml:AttributeValue></saml:Attribute>`;
  const assertion = assertionXml(said).replace(
    '<saml:AttributeStatement>',
    (open) => `${open}${role('a')}${role('b')}`,
  );
  const keyInfo =
    '<dsig:KeyName>x</dsig:KeyName><dsig:KeyValue><dsig:RSAKeyValue><dsig:Modulus>AQAB</dsig:Modulus><dsig:Exponent>AQAB</dsig:Exponent></dsig:RSAKeyValue></dsig:KeyValue>';
  return sign(responseXml(said, assertion), said.responseId, idp, { prefix: 'dsig', keyInfo });
}

/** Shibboleth: encrypted with a named key, a persistent id as an attribute, an address, a class of its own. */
function shibboleth({ said, idp, certificate }: ResponseKit): string {
  const assertion = assertionXml(said)
    .replace('<saml:NameID', `<saml:NameID NameQualifier="${said.issuer}" SPNameQualifier="${said.audience}"`)
    .replace('<saml:SubjectConfirmationData ', '<saml:SubjectConfirmationData Address="192.0.2.9" ')
    .replace('<saml:AuthnContext>', '<saml:SubjectLocality Address="192.0.2.9"/><saml:AuthnContext>')
    .replace(
      '</saml:AttributeStatement>',
      `<saml:Attribute Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10"><saml:AttributeValue><saml:NameID>abc=</saml:NameID></saml:AttributeValue></saml:Attribute></saml:AttributeStatement>`,
    );
  const encrypted = encrypt(assertion, certificate, { cipher: 'aes128-gcm' })
    .replace('<xenc:EncryptedData ', '<xenc:EncryptedData Id="_data" ')
    .replace('<xenc:EncryptedKey>', '<xenc:EncryptedKey Id="_key" Recipient="us">')
    .replace(
      /(rsa-oaep-mgf1p")\/>/,
      '$1><ds:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/></xenc:EncryptionMethod><ds:KeyInfo><ds:X509Data><ds:X509Certificate>AQAB</ds:X509Certificate></ds:X509Data></ds:KeyInfo>',
    );
  return sign(responseXml(said, encrypted), said.responseId, idp);
}

/** ADFS and Google write over several lines. */
function pretty({ said, idp }: ResponseKit): string {
  const spaced = responseXml(said, assertionXml(said)).replaceAll('><', '>\r\n  <');
  return sign(spaced, said.assertionId, idp);
}

/** Every variant that has to be accepted, over a connection that takes AES-CBC and knows an RSA and an EC certificate. */
export const RIGHT_RESPONSES: readonly RightResponse[] = [
  { name: 'the assertion signed', document: signedAssertion() },
  { name: 'the response signed', document: signedResponse },
  {
    name: 'both signed',
    document: ({ said, idp }) =>
      sign(responseXml(said, sign(assertionXml(said), said.assertionId, idp)), said.responseId, idp),
  },
  {
    name: 'RSA with SHA-512',
    document: signedAssertion({ method: `${MORE}rsa-sha512`, digest: 'http://www.w3.org/2001/04/xmlenc#sha512' }),
  },
  { name: 'RSA-PSS', document: signedAssertion({ method: 'http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1' }) },
  { name: 'ECDSA with SHA-256', document: signedAssertion(), kind: 'ec' },
  { name: 'ECDSA with SHA-512', document: signedAssertion({ method: `${MORE}ecdsa-sha512` }), kind: 'ec' },
  { name: 'ECDSA over the response', document: signedResponse, kind: 'ec' },
  { name: 'no KeyInfo', document: signedAssertion({ keyInfo: null }) },
  {
    name: 'encrypted with AES-256-GCM',
    document: ({ said, idp, certificate }) =>
      responseXml(said, encrypt(sign(assertionXml(said), said.assertionId, idp), certificate)),
  },
  {
    name: 'encrypted with AES-256-CBC',
    document: ({ said, idp, certificate }) =>
      responseXml(
        said,
        encrypt(sign(assertionXml(said), said.assertionId, idp), certificate, { cipher: 'aes256-cbc' }),
      ),
  },
  {
    name: 'encrypted with AES-128-CBC, signed by ECDSA',
    kind: 'ec',
    document: ({ said, idp, certificate }) =>
      responseXml(
        said,
        encrypt(sign(assertionXml(said), said.assertionId, idp), certificate, { cipher: 'aes128-cbc' }),
      ),
  },
  {
    name: 'encrypted inside a signed response',
    document: ({ said, idp, certificate }) =>
      sign(responseXml(said, encrypt(assertionXml(said), certificate)), said.responseId, idp),
  },
  {
    name: 'encrypted and signed, inside a signed response',
    document: ({ said, idp, certificate }) =>
      sign(
        responseXml(said, encrypt(sign(assertionXml(said), said.assertionId, idp), certificate)),
        said.responseId,
        idp,
      ),
  },
  {
    name: 'as Okta sends it',
    document: okta,
    change: {
      attributes: { firstName: ['Bob'], lastName: ['Builder'], email: [BOB], groups: ['Everyone', 'Builders'] },
    },
  },
  {
    name: 'as Entra ID sends it',
    document: entra,
    change: {
      nameIdFormat: `${FORMAT}emailAddress`,
      attributes: {
        'http://schemas.microsoft.com/identity/claims/displayname': ['Bob'],
        [`${CLAIMS}emailaddress`]: [BOB],
        [`${CLAIMS}name`]: [BOB],
      },
    },
  },
  { name: 'as Keycloak sends it', document: keycloak },
  { name: 'as Google sends it', document: signedResponse, change: { attributes: {} } },
  {
    name: 'as Shibboleth sends it',
    document: shibboleth,
    change: {
      nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
      attributes: { 'urn:oid:0.9.2342.19200300.100.1.3': [BOB] },
    },
  },
  { name: 'over several lines', document: pretty },
  {
    name: 'with an XML declaration and a mark of the byte order',
    document: (kit) => `\ufeff<?xml version="1.0" encoding="utf-8"?>\n${signedResponse(kit)}`,
  },
  {
    name: 'a transient NameID',
    document: signedAssertion(),
    change: { nameId: '_one-time', nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient' },
  },
  { name: 'a NameID of no format', document: signedAssertion(), change: { nameIdFormat: null } },
  {
    name: 'an address in capitals',
    document: signedAssertion(),
    change: { attributes: { mail: ['Bob@ACME.example'] } },
  },
  { name: 'no destination', document: signedAssertion(), change: { destination: null } },
  { name: 'no issuer of the response', document: signedAssertion(), change: { responseIssuer: null } },
  {
    name: '500 groups',
    document: signedAssertion(),
    change: { attributes: { email: [BOB], groups: Array.from({ length: 500 }, (_, n) => `group ${n}`) } },
  },
  {
    name: 'several audiences in one restriction',
    document: changed((text) =>
      text.replace('<saml:Audience>', '<saml:Audience>https://other.example</saml:Audience><saml:Audience>'),
    ),
  },
  {
    name: 'conditions that began in 59 seconds',
    document: changed((text, { said }) =>
      text.replace(/(<saml:Conditions NotBefore=")[^"]*/, `$1${at(said.now, 59_000)}`),
    ),
  },
  {
    name: 'a confirmation that ended 59 seconds ago',
    document: changed((text, { said }) =>
      text.replace(/(<saml:SubjectConfirmationData NotOnOrAfter=")[^"]*/, `$1${at(said.now, -59_000)}`),
    ),
  },
  { name: 'times without fractions of a second', document: changed((text) => text.replaceAll(/\.\d{3}Z"/g, 'Z"')) },
  { name: 'a session without an end', document: changed((text) => text.replace(/ SessionNotOnOrAfter="[^"]*"/, '')) },
  {
    name: 'a condition of one use',
    document: changed((text) => text.replace('</saml:Conditions>', '<saml:OneTimeUse/></saml:Conditions>')),
  },
];
