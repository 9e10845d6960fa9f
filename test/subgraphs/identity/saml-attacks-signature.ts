import {
  C14N,
  DSIG,
  ENVELOPED,
  EVIL,
  EXCLUSIVE,
  MORE,
  VICTIM,
  changes,
  forged,
  genuine,
  hmac,
  inEnvelope,
  put,
  signatureOf,
  signedWith,
  swap,
  type Attack,
} from './saml-attack-kit.ts';
import { assertionXml, sign } from './saml-identity-provider.ts';

/** Nobody trusted has signed what they say. */
export const FORGERIES: readonly Attack[] = [
  { name: 'nothing is signed', rule: 'unsigned', document: (kit) => inEnvelope(kit, forged(kit)) },
  {
    name: 'the NameID is changed',
    rule: 'signature',
    document: changes(swap(/bob@acme\.example<\/saml:NameID>/, `${VICTIM}</saml:NameID>`)),
  },
  {
    name: 'an attribute is changed',
    rule: 'signature',
    document: changes(swap(/>bob@acme\.example<\/saml:AttributeValue>/, `>${VICTIM}</saml:AttributeValue>`)),
  },
  {
    name: 'an attribute is added',
    rule: 'signature',
    document: changes(
      put(
        '<saml:AttributeStatement>',
        '<saml:Attribute Name="role"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>',
      ),
    ),
  },
  {
    name: 'a signed response is changed',
    rule: 'signature',
    document: (kit) =>
      sign(inEnvelope(kit, assertionXml(kit.said)), kit.said.responseId, kit.idp).replaceAll(
        'bob@acme.example',
        VICTIM,
      ),
  },
  {
    name: 'a right assertion in a response whose signature is broken',
    rule: 'signature',
    document: (kit) =>
      sign(inEnvelope(kit, genuine(kit)), kit.said.responseId, kit.idp).replace(
        'IssueInstant',
        'Consent="urn:x" IssueInstant',
      ),
  },
  {
    name: 'a broken assertion in a response that is signed',
    rule: 'signature',
    document: (kit) => sign(inEnvelope(kit, genuine(kit).replaceAll('bob@', 'ada@')), kit.said.responseId, kit.idp),
  },
  {
    name: 'another key, its certificate in KeyInfo',
    rule: 'signature',
    document: (kit) => inEnvelope(kit, sign(forged(kit), EVIL, kit.mallory)),
  },
  {
    name: 'another key, the right certificate in KeyInfo',
    rule: 'signature',
    document: (kit) =>
      inEnvelope(
        kit,
        sign(forged(kit), EVIL, kit.mallory, {
          keyInfo: `<ds:X509Data><ds:X509Certificate>${kit.idp.certificate.replaceAll(/-----[A-Z ]+-----|\s/g, '')}</ds:X509Certificate></ds:X509Data>`,
        }),
      ),
  },
  {
    name: 'another key, the bare key in KeyInfo',
    rule: 'signature',
    document: (kit) =>
      inEnvelope(
        kit,
        sign(forged(kit), EVIL, kit.mallory, {
          keyInfo:
            '<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>',
        }),
      ),
  },
  {
    name: 'no KeyInfo and another key',
    rule: 'signature',
    document: (kit) => inEnvelope(kit, sign(forged(kit), EVIL, kit.mallory, { keyInfo: null })),
  },
  {
    name: 'a KeyInfo that refers elsewhere',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        sign(forged(kit), EVIL, kit.mallory, { keyInfo: '<ds:RetrievalMethod URI="https://mallory.example/key"/>' }),
      ),
  },
  { name: 'HMAC with the public certificate', rule: 'algorithm', document: hmac(`${DSIG}hmac-sha1`, 'sha1') },
  {
    name: 'HMAC-SHA256 with the public certificate',
    rule: 'algorithm',
    document: hmac(`${MORE}hmac-sha256`, 'sha256'),
  },
  {
    name: 'an RSA key under an ECDSA method',
    rule: 'signature',
    document: changes(swap(`${MORE}rsa-sha256`, `${MORE}ecdsa-sha256`)),
  },
  {
    name: 'an empty signature value',
    rule: 'structure',
    document: changes(swap(/<ds:SignatureValue>[^<]*</, '<ds:SignatureValue><')),
  },
  {
    name: 'a signature value of zeros',
    rule: 'signature',
    document: changes(swap(/<ds:SignatureValue>[^<]*</, `<ds:SignatureValue>${Buffer.alloc(256).toString('base64')}<`)),
  },
  {
    name: 'the signature of one assertion on another',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, forged(kit).replace('</saml:Issuer>', `</saml:Issuer>${signatureOf(genuine(kit))}`)),
  },
  {
    name: 'the signature of one assertion on another of its id',
    rule: 'signature',
    document: (kit) =>
      inEnvelope(
        kit,
        forged(kit, kit.said.assertionId).replace('</saml:Issuer>', `</saml:Issuer>${signatureOf(genuine(kit))}`),
      ),
  },
];

/** Signatures of a shape that is not taken, right or not. */
export const SIGNATURE_SHAPES: readonly Attack[] = [
  { name: 'SHA-1 signature', rule: 'algorithm', document: signedWith({ method: `${DSIG}rsa-sha1` }) },
  { name: 'SHA-1 digest', rule: 'algorithm', document: signedWith({ digest: `${DSIG}sha1` }) },
  { name: 'an MD5 digest', rule: 'algorithm', document: signedWith({ digest: `${MORE}md5` }) },
  {
    name: 'inclusive canonicalization of what is signed',
    rule: 'algorithm',
    document: signedWith({ transforms: [ENVELOPED, C14N] }),
  },
  {
    name: 'canonicalization with comments of what is signed',
    rule: 'algorithm',
    document: signedWith({ transforms: [ENVELOPED, `${EXCLUSIVE}WithComments`] }),
  },
  {
    name: 'canonicalization with comments of SignedInfo',
    rule: 'algorithm',
    document: signedWith({ canonicalization: `${EXCLUSIVE}WithComments` }),
  },
  {
    name: 'inclusive canonicalization of SignedInfo',
    rule: 'algorithm',
    document: signedWith({ canonicalization: C14N }),
  },
  {
    name: 'no transform for the signature inside',
    rule: 'algorithm',
    document: changes(swap(`<ds:Transform Algorithm="${ENVELOPED}"/>`, '')),
  },
  {
    name: 'only the transform for the signature inside',
    rule: 'algorithm',
    document: signedWith({ transforms: [ENVELOPED] }),
  },
  {
    name: 'three transforms',
    rule: 'algorithm',
    document: signedWith({ transforms: [ENVELOPED, EXCLUSIVE, EXCLUSIVE] }),
  },
  { name: 'transforms turned round', rule: 'algorithm', document: signedWith({ transforms: [EXCLUSIVE, ENVELOPED] }) },
  {
    name: 'an XPath transform',
    rule: 'algorithm',
    document: changes(
      swap(
        `<ds:Transform Algorithm="${ENVELOPED}"/>`,
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>',
      ),
    ),
  },
  {
    name: 'an XSLT transform',
    rule: 'structure',
    document: changes(
      swap(
        `<ds:Transform Algorithm="${ENVELOPED}"/>`,
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform"/></ds:Transform>',
      ),
    ),
  },
  {
    name: 'a base 64 transform',
    rule: 'algorithm',
    document: changes(swap(`<ds:Transform Algorithm="${EXCLUSIVE}"/>`, `<ds:Transform Algorithm="${DSIG}base64"/>`)),
  },
  {
    name: 'CVE-2025-29775: a comment in the digest',
    rule: 'document',
    document: changes((text) => text.replace(/<ds:DigestValue>/, '<ds:DigestValue><!--AAAA-->')),
  },
  {
    name: 'CVE-2025-29774: two SignedInfo',
    rule: 'structure',
    document: changes((text) => text.replace(/(<ds:SignedInfo>.*?<\/ds:SignedInfo>)/s, '$1$1')),
  },
  {
    name: 'CVE-2025-29774: SignedInfo inside SignedInfo',
    rule: 'structure',
    document: changes((text) =>
      text.replace(
        /<ds:SignedInfo>(.*?)<\/ds:SignedInfo>/s,
        '<ds:SignedInfo><ds:SignedInfo>$1</ds:SignedInfo>$1</ds:SignedInfo>',
      ),
    ),
  },
  {
    name: 'two digests',
    rule: 'structure',
    document: changes((text) => text.replace(/(<ds:DigestValue>[^<]*<\/ds:DigestValue>)/, '$1$1')),
  },
  {
    name: 'two references, both right',
    rule: 'structure',
    document: (kit) =>
      sign(inEnvelope(kit, assertionXml(kit.said)), kit.said.assertionId, kit.idp, {
        alsoReference: kit.said.responseId,
      }),
  },
  {
    name: 'a reference to the whole document',
    rule: 'structure',
    document: changes((text) => text.replace(/URI="#[^"]*"/, 'URI=""')),
  },
  {
    name: 'a reference without an address',
    rule: 'structure',
    document: changes((text) => text.replace(/ URI="#[^"]*"/, '')),
  },
  {
    name: 'a reference by XPointer',
    rule: 'structure',
    document: changes((text, { said }) => text.replace(/URI="#[^"]*"/, `URI="#xpointer(id('${said.assertionId}'))"`)),
  },
  {
    name: 'two signatures on one assertion',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, genuine(kit).replace('</saml:Issuer>', `</saml:Issuer>${signatureOf(genuine(kit))}`)),
  },
  {
    name: 'a length of the digest',
    rule: 'structure',
    document: changes(
      swap(
        /<ds:SignatureMethod([^>]*)\/>/,
        `<ds:SignatureMethod Algorithm="${MORE}rsa-sha256"><ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>`,
      ),
    ),
  },
  {
    name: 'void canonicalization: a namespace without a scheme',
    rule: 'document',
    document: changes(swap('<ds:Signature ', '<ds:Signature xmlns:v="1" ')),
  },
];
