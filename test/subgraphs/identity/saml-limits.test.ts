import { describe, expect, it } from 'vitest';
import { SamlRefusal } from '../../../subgraphs/identity/saml/refusal.ts';
import { newServiceKey } from '../../../subgraphs/identity/saml/service-provider.ts';
import { verifySignedAssertion } from '../../../subgraphs/identity/saml/signed-assertion.ts';
import { MESSAGE_LIMITS } from '../../../subgraphs/identity/saml/xml-scan.ts';
import { assertionXml, encrypt, newIdp, responseXml, sign, type Said } from './saml-identity-provider.ts';

const now = new Date();
const idp = newIdp(now);
const said: Said = {
  issuer: idp.entityId,
  responseIssuer: idp.entityId,
  audience: 'https://sp.example',
  recipient: 'https://sp.example/acs',
  destination: null,
  inResponseTo: null,
  now,
  responseId: '_r',
  assertionId: '_a',
  nameId: 'bob@acme.example',
  nameIdFormat: null,
  attributes: {},
};
const service = await newServiceKey('con', now);
/** Signed by nobody that is trusted here, however right it looks. */
const small = sign(responseXml(said, assertionXml(said)), '_a', newIdp(now));
const { sizeBytes, depth, elements, attributesOfOne } = MESSAGE_LIMITS;

function filled(text: string): string {
  return small.replace(
    '</saml:AuthnStatement>',
    `</saml:AuthnStatement><saml:AttributeStatement>${text}</saml:AttributeStatement>`,
  );
}

function attributeOf(value: string): string {
  return `<saml:Attribute Name="x"><saml:AttributeValue>${value}</saml:AttributeValue></saml:Attribute>`;
}

/** As often as there is room for it. */
function often(unit: string, most = Infinity): string {
  return unit.repeat(Math.min(most, Math.floor((sizeBytes - small.length - 400) / unit.length)));
}

async function refusalOf(document: string): Promise<string> {
  const keys = {
    certificates: Array.from({ length: 8 }, () => idp.certificate),
    decryptionKeys: [service.privateKey, service.privateKey],
    options: { cbc: true },
    encryptedOnly: false,
  };
  const thrown = await verifySignedAssertion(document, keys).catch((error: unknown) => error);
  return thrown instanceof SamlRefusal ? thrown.reason : `not refused: ${String(thrown)}`;
}

/** Documents that are as large as they may be, and are refused as late as can be: by the signature, or what was encrypted. */
const LARGE: readonly { readonly name: string; readonly rule: string; readonly document: string }[] = [
  { name: 'text', rule: 'signature', document: filled(attributeOf(often('x'))) },
  { name: 'entities', rule: 'signature', document: filled(attributeOf(often('&amp;'))) },
  { name: 'references', rule: 'signature', document: filled(attributeOf(often('&#13;'))) },
  { name: 'line breaks', rule: 'signature', document: filled(attributeOf(often('\r'))) },
  { name: 'elements', rule: 'signature', document: filled(often('<saml:Attribute/>', elements - 60)) },
  {
    name: 'attributes',
    rule: 'signature',
    document: filled(often(`<saml:Attribute ${Array.from({ length: 30 }, (_, n) => `a${n}=""`).join(' ')}/>`, 80)),
  },
  {
    name: 'nested namespaces',
    rule: 'signature',
    document: filled(
      `${Array.from({ length: 25 }, (_, n) => `<saml:Attribute ${Array.from({ length: 30 }, (__, m) => `xmlns:n${n}_${m}="u:x"`).join(' ')}>`).join('')}${'<saml:Attribute/>'.repeat(1_400)}${'</saml:Attribute>'.repeat(25)}`,
    ),
  },
  {
    name: 'space in a signature',
    rule: 'signature',
    document: small.replace('<ds:SignatureValue>', `<ds:SignatureValue>${often(' ')}`),
  },
  {
    name: 'prefixes of a transform',
    rule: 'signature',
    document: small.replace(
      'exc-c14n#"/></ds:Transforms>',
      `exc-c14n#"><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="${often('aa ')}"/></ds:Transform></ds:Transforms>`,
    ),
  },
  {
    name: 'cipher text',
    rule: 'document',
    document: responseXml(said, encrypt('x'.repeat(180_000), service.certificate)),
  },
  {
    name: 'elements in cipher text',
    rule: 'unsigned',
    document: responseXml(
      said,
      encrypt(
        assertionXml(said).replace(
          '</saml:Assertion>',
          `<saml:AttributeStatement>${'<saml:Attribute/>'.repeat(elements - 60)}</saml:AttributeStatement></saml:Assertion>`,
        ),
        service.certificate,
      ),
    ),
  },
  { name: 'comments', rule: 'document', document: filled(often('<!-- -->')) },
  { name: 'open tags', rule: 'document', document: often('<a>') },
  { name: 'less-than signs', rule: 'document', document: often('<') },
];

describe('a document at the limits', () => {
  it.each(LARGE)('is refused without the work of verifying it: $name', async ({ rule, document }) => {
    expect(document.length).toBeLessThanOrEqual(sizeBytes);
    expect(await refusalOf(document)).toBe(rule);
  });

  it.each([
    ['bytes', (n: number) => filled(attributeOf('x'.repeat(n - filled(attributeOf('')).length))), sizeBytes],
    ['levels', (n: number) => filled(`${'<saml:Attribute>'.repeat(n - 3)}${'</saml:Attribute>'.repeat(n - 3)}`), depth],
    [
      'elements',
      (n: number) => filled('<saml:Attribute/>'.repeat(n - (small.match(/<[a-z]/g)?.length ?? 0) - 1)),
      elements,
    ],
    [
      'attributes of one element',
      (n: number) => filled(`<saml:Attribute ${Array.from({ length: n }, (_, at) => `a${at}=""`).join(' ')}/>`),
      attributesOfOne,
    ],
  ] as const)('may hold so many %s and not one more', async (_, document, most) => {
    expect(await refusalOf(document(most))).toBe('signature');
    expect(await refusalOf(document(most + 1))).toBe('document');
  });

  it('counts bytes, not characters', async () => {
    expect(await refusalOf(filled(attributeOf('\u00e9'.repeat(sizeBytes / 2))))).toBe('document');
  });
});
