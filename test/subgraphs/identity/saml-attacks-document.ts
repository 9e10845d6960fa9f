import { DSIG, EVIL, VICTIM, changes, forged, genuine, inEnvelope, swap, type Attack } from './saml-attack-kit.ts';
import { assertionXml, encrypt, sign } from './saml-identity-provider.ts';

const ENTITIES = Array.from({ length: 9 }, (_, level) => `<!ENTITY l${level + 1} "${`&l${level};`.repeat(10)}">`).join(
  '',
);

/** Documents that are not read at all. */
export const DOCUMENTS: readonly Attack[] = [
  {
    name: 'a comment in the NameID, put in before signing',
    rule: 'document',
    document: (kit) =>
      inEnvelope(
        kit,
        sign(assertionXml({ ...kit.said, nameId: `${VICTIM}<!---->.mallory.example` }), kit.said.assertionId, kit.idp),
      ),
  },
  {
    name: 'a comment in the NameID, put in after signing',
    rule: 'document',
    document: changes(swap('bob@acme.example</saml:NameID>', 'bob@acme.example<!----></saml:NameID>')),
  },
  { name: 'a comment before the root', rule: 'document', document: changes((text) => `<!-- x -->${text}`) },
  {
    name: 'an instruction in the NameID',
    rule: 'document',
    document: changes(swap('bob@acme.example</saml:NameID>', 'bob@acme.example<?x?></saml:NameID>')),
  },
  {
    name: 'a CDATA section in the NameID',
    rule: 'document',
    document: changes(swap('bob@acme.example</saml:NameID>', '<![CDATA[bob@acme.example]]></saml:NameID>')),
  },
  {
    name: 'several roots',
    rule: 'document',
    document: (kit) => `${inEnvelope(kit, genuine(kit))}${inEnvelope(kit, forged(kit))}`,
  },
  { name: 'text behind the root', rule: 'document', document: changes((text) => `${text}x`) },
  { name: 'a document type', rule: 'document', document: changes((text) => `<!DOCTYPE Response>${text}`) },
  {
    name: 'an internal entity',
    rule: 'document',
    document: changes((text) => `<!DOCTYPE r [<!ENTITY e "${VICTIM}">]>${text.replace('bob@acme.example', '&e;')}`),
  },
  {
    name: 'an external entity',
    rule: 'document',
    document: changes(
      (text) => `<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>${text.replace('bob@acme.example', '&e;')}`,
    ),
  },
  {
    name: 'billion laughs',
    rule: 'document',
    document: changes(
      (text) => `<!DOCTYPE r [<!ENTITY l0 "lol">${ENTITIES}]>${text.replace('bob@acme.example', '&l9;')}`,
    ),
  },
  { name: 'an entity that nobody declared', rule: 'document', document: changes(swap('bob@acme.example', '&nbsp;')) },
  {
    name: 'a NUL in the NameID',
    rule: 'document',
    document: changes(swap('bob@acme.example</saml:NameID>', 'bob@acme.example\0</saml:NameID>')),
  },
  {
    name: 'a NUL in the NameID as a reference',
    rule: 'document',
    document: changes(swap('bob@acme.example</saml:NameID>', 'bob@acme.example&#0;</saml:NameID>')),
  },
  {
    name: 'an attribute twice',
    rule: 'document',
    document: changes((text, { said }) =>
      text.replace('<saml:Assertion ', `<saml:Assertion ID="${said.assertionId}" `),
    ),
  },
  { name: 'an attribute without quotes', rule: 'document', document: changes(swap('Version="2.0"', 'Version=2.0')) },
  {
    name: 'elements that are not closed',
    rule: 'document',
    document: changes((text) => text.slice(0, -'</samlp:Response>'.length)),
  },
  {
    name: 'elements that close each other',
    rule: 'document',
    document: changes(swap('</saml:AuthnContext></saml:AuthnStatement>', '</saml:AuthnStatement></saml:AuthnContext>')),
  },
  {
    name: 'another encoding',
    rule: 'document',
    document: changes((text) => `<?xml version="1.0" encoding="UTF-7"?>${text}`),
  },
  { name: 'XML 1.1', rule: 'document', document: changes((text) => `<?xml version="1.1"?>${text}`) },
  { name: 'nothing', rule: 'document', document: () => '' },
  {
    name: 'an attribute value of 300 KB',
    rule: 'document',
    document: changes(
      swap(/>bob@acme\.example<\/saml:AttributeValue>/, `>${'x'.repeat(300_000)}</saml:AttributeValue>`),
    ),
  },
  {
    name: '20,000 elements in each other',
    rule: 'document',
    document: changes((text) =>
      text.replace('<samlp:Status>', `${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}<samlp:Status>`),
    ),
  },
  {
    name: '5,000 elements side by side',
    rule: 'document',
    document: changes((text) => text.replace('<samlp:Status>', `${'<a/>'.repeat(5_000)}<samlp:Status>`)),
  },
  {
    name: '10,000 attributes on the root',
    rule: 'document',
    document: changes((text) =>
      text.replace(
        '<samlp:Response ',
        `<samlp:Response ${Array.from({ length: 10_000 }, (_, n) => `a${n}=""`).join(' ')} `,
      ),
    ),
  },
  {
    name: '2,000 namespaces',
    rule: 'document',
    document: changes((text) =>
      text.replace(
        '<samlp:Status>',
        `${Array.from({ length: 200 }, (_, n) => `<a ${Array.from({ length: 10 }, (__, m) => `xmlns:n${n}_${m}="u:x"`).join(' ')}/>`).join('')}<samlp:Status>`,
      ),
    ),
  },
];

/** What an encryption hides, and how. */
export const ENCRYPTED: readonly Attack[] = [
  {
    name: 'encrypted, not signed',
    rule: 'unsigned',
    document: (kit) => inEnvelope(kit, encrypt(forged(kit), kit.certificate)),
  },
  {
    name: 'encrypted, signed with another key',
    rule: 'signature',
    document: (kit) => inEnvelope(kit, encrypt(sign(forged(kit), EVIL, kit.mallory), kit.certificate)),
  },
  {
    name: 'encrypted, changed after signing',
    rule: 'signature',
    document: (kit) => inEnvelope(kit, encrypt(genuine(kit).replaceAll('bob@', 'ada@'), kit.certificate)),
  },
  {
    name: 'encrypted for somebody else',
    rule: 'decryption',
    document: (kit) => inEnvelope(kit, encrypt(genuine(kit), kit.mallory.certificate)),
  },
  {
    name: 'the cipher text is changed',
    rule: 'decryption',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(genuine(kit), kit.certificate)
          .replace(/(<\/ds:KeyInfo><xenc:CipherData><xenc:CipherValue>.{40})./, '$1/')
          .replace(/(<\/ds:KeyInfo><xenc:CipherData><xenc:CipherValue>.{41})./, '$1+'),
      ),
  },
  {
    name: 'an encrypted one in a signed response, exchanged after signing',
    rule: 'signature',
    document: (kit) =>
      sign(inEnvelope(kit, encrypt(assertionXml(kit.said), kit.certificate)), kit.said.responseId, kit.idp).replace(
        /<saml:EncryptedAssertion.*<\/saml:EncryptedAssertion>/s,
        () => encrypt(forged(kit), kit.certificate),
      ),
  },
  {
    name: 'an encrypted one beside the signed one',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `${genuine(kit)}${encrypt(forged(kit), kit.certificate)}`),
  },
  {
    name: 'two encrypted ones',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, `${encrypt(genuine(kit), kit.certificate)}${encrypt(forged(kit), kit.certificate)}`),
  },
  {
    name: 'a wrapped assertion, encrypted (XSW4)',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(forged(kit).replace('</saml:Assertion>', `${genuine(kit)}</saml:Assertion>`), kit.certificate),
      ),
  },
  {
    name: 'two assertions in one encryption',
    rule: 'document',
    document: (kit) => inEnvelope(kit, encrypt(`${genuine(kit)}${forged(kit)}`, kit.certificate)),
  },
  {
    name: 'a comment inside the encryption',
    rule: 'document',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(
          genuine(kit).replace('bob@acme.example</saml:NameID>', 'bob@acme.example<!----></saml:NameID>'),
          kit.certificate,
        ),
      ),
  },
  {
    name: 'billion laughs inside the encryption',
    rule: 'document',
    document: (kit) =>
      inEnvelope(kit, encrypt(`<!DOCTYPE r [<!ENTITY l0 "lol">${ENTITIES}]>${genuine(kit)}`, kit.certificate)),
  },
  {
    name: '20,000 elements inside the encryption',
    rule: 'document',
    document: (kit) => inEnvelope(kit, encrypt(`${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}`, kit.certificate)),
  },
  {
    name: 'SHA-1 inside the encryption',
    rule: 'algorithm',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(
          sign(assertionXml(kit.said), kit.said.assertionId, kit.idp, { method: `${DSIG}rsa-sha1` }),
          kit.certificate,
        ),
      ),
  },
  {
    name: 'another recipient inside the encryption',
    rule: 'recipient',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(
          sign(assertionXml({ ...kit.said, recipient: 'https://other.example/acs' }), kit.said.assertionId, kit.idp),
          kit.certificate,
        ),
      ),
  },
  {
    name: 'an encrypted one that is replaced by an encrypted one of its own',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, encrypt(encrypt(genuine(kit), kit.certificate), kit.certificate)),
  },
  {
    name: 'AES-CBC where the connection does not take it',
    rule: 'algorithm',
    document: (kit) => inEnvelope(kit, encrypt(genuine(kit), kit.certificate, { cipher: 'aes256-cbc' })),
  },
  {
    name: 'RSA 1.5',
    rule: 'algorithm',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(genuine(kit), kit.certificate, {
          padding: 'pkcs1',
          keyTransport: 'http://www.w3.org/2001/04/xmlenc#rsa-1_5',
        }),
      ),
  },
  {
    name: 'triple DES',
    rule: 'algorithm',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(genuine(kit), kit.certificate).replace(
          'http://www.w3.org/2009/xmlenc11#aes256-gcm',
          'http://www.w3.org/2001/04/xmlenc#tripledes-cbc',
        ),
      ),
  },
  {
    name: 'cipher text from elsewhere',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        encrypt(genuine(kit), kit.certificate).replace(
          /<xenc:CipherValue>[^<]*<\/xenc:CipherValue>(?=<\/xenc:CipherData><\/xenc:EncryptedData>)/,
          '<xenc:CipherReference URI="https://mallory.example/"/>',
        ),
      ),
  },
];
