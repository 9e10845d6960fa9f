import {
  ASSERTION,
  DSIG,
  VICTIM,
  changes,
  forged,
  genuine,
  inEnvelope,
  says,
  signatureOf,
  swap,
  withSignature,
  wrapResponse,
  type Attack,
} from './saml-attack-kit.ts';
import { assertionXml, responseXml, sign } from './saml-identity-provider.ts';

/** Something signed is there, and something else beside it or around it. */
export const WRAPPINGS: readonly Attack[] = [
  {
    name: 'XSW1: the signed response inside the signature of a forged one',
    rule: 'structure',
    document: (kit) =>
      wrapResponse(kit, (original, signature) => signature.replace('</ds:Signature>', `${original}</ds:Signature>`)),
  },
  {
    name: 'XSW1 in an Object',
    rule: 'structure',
    document: (kit) =>
      wrapResponse(kit, (original, signature) =>
        signature.replace('</ds:Signature>', `<ds:Object>${original}</ds:Object></ds:Signature>`),
      ),
  },
  {
    name: 'XSW2: the signed response before the signature of a forged one',
    rule: 'structure',
    document: (kit) => wrapResponse(kit, (original, signature) => `${original}${signature}`),
  },
  {
    name: 'XSW3: a forged assertion before the signed one',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `${forged(kit)}${genuine(kit)}`),
  },
  {
    name: 'XSW3 turned round: a forged assertion behind the signed one',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `${genuine(kit)}${forged(kit)}`),
  },
  {
    name: 'XSW4: the signed assertion inside a forged one',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, forged(kit).replace('</saml:Assertion>', `${genuine(kit)}</saml:Assertion>`)),
  },
  {
    name: 'XSW5: the signature in a forged assertion, what it signs behind it',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `${withSignature(kit, forged(kit))}${assertionXml(kit.said)}`),
  },
  {
    name: 'XSW6: what was signed inside the signature of a forged assertion',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, withSignature(kit, forged(kit), assertionXml(kit.said))),
  },
  {
    name: 'XSW7: a forged assertion in Extensions',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, genuine(kit)).replace(
        '<samlp:Status>',
        `<samlp:Extensions>${forged(kit)}</samlp:Extensions><samlp:Status>`,
      ),
  },
  {
    name: 'XSW7 with the id of the signed one',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, genuine(kit)).replace(
        '<samlp:Status>',
        `<samlp:Extensions>${forged(kit, kit.said.assertionId)}</samlp:Extensions><samlp:Status>`,
      ),
  },
  {
    name: 'XSW8: what was signed in an Object of the signature',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, withSignature(kit, forged(kit), `<ds:Object>${assertionXml(kit.said)}</ds:Object>`)),
  },
  {
    name: 'two assertions, both signed',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        `${genuine(kit)}${sign(assertionXml({ ...kit.said, assertionId: '_other' }), '_other', kit.idp)}`,
      ),
  },
  {
    name: 'a forged assertion in Advice',
    rule: 'structure',
    document: says(
      swap('<saml:AuthnStatement', `<saml:Advice><saml:Assertion ID="_adv"/></saml:Advice><saml:AuthnStatement`),
    ),
  },
  {
    name: 'a forged assertion in StatusDetail',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, genuine(kit)).replace(
        '</samlp:Status>',
        `<samlp:StatusDetail>${forged(kit)}</samlp:StatusDetail></samlp:Status>`,
      ),
  },
  {
    name: 'a forged assertion inside an attribute',
    rule: 'structure',
    document: says((text, kit) =>
      text.replace(/(<saml:AttributeValue[^>]*>)[^<]*/, (_, open: string) => `${open}${forged(kit)}`),
    ),
  },
  {
    name: 'one id on response and assertion',
    rule: 'structure',
    document: (kit) =>
      sign(
        responseXml({ ...kit.said, responseId: kit.said.assertionId }, assertionXml(kit.said)),
        kit.said.assertionId,
        kit.idp,
        { place: { reference: `/*/*[local-name(.)="Assertion"]/*[local-name(.)="Issuer"]`, action: 'after' } },
      ),
  },
  {
    name: 'one id on assertion and signature',
    rule: 'structure',
    document: changes((text, { said }) => text.replace('<ds:Signature ', `<ds:Signature Id="${said.assertionId}" `)),
  },
  {
    name: 'an id with a prefix',
    rule: 'structure',
    document: changes((text, { said }) =>
      text.replace('<samlp:Response ', `<samlp:Response samlp:ID="${said.assertionId}" `),
    ),
  },
  {
    name: 'xml:id beside ID',
    rule: 'structure',
    document: changes((text, { said }) =>
      text.replace('<samlp:Status>', `<samlp:Status xml:id="${said.assertionId}">`),
    ),
  },
  {
    name: 'a signature outside of what it signs',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, assertionXml(kit.said)).replace('<samlp:Status>', `${signatureOf(genuine(kit))}<samlp:Status>`),
  },
  {
    name: 'a response around the signed response',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        sign(responseXml({ ...kit.said, responseId: '_inner' }, assertionXml(kit.said)), '_inner', kit.idp),
      ),
  },
  { name: 'an assertion that is the root', rule: 'structure', document: genuine },
  {
    name: 'a SOAP envelope around the response',
    rule: 'structure',
    document: (kit) =>
      `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>${inEnvelope(kit, genuine(kit))}</e:Body></e:Envelope>`,
  },
  {
    name: 'a logout response',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, genuine(kit)).replaceAll('samlp:Response', 'samlp:LogoutResponse'),
  },
  {
    name: 'no assertion at all',
    rule: 'structure',
    document: (kit) => sign(inEnvelope(kit, ''), kit.said.responseId, kit.idp),
  },
];

/** Names that mean something else than they seem to. */
export const NAMES: readonly Attack[] = [
  {
    name: 'an assertion of SAML 1.1',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, genuine(kit)).replaceAll(ASSERTION, 'urn:oasis:names:tc:SAML:1.0:assertion'),
  },
  {
    name: 'a response of another namespace',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, genuine(kit)).replaceAll('urn:oasis:names:tc:SAML:2.0:protocol', 'urn:mallory'),
  },
  {
    name: 'an assertion of another namespace beside the signed one',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `${genuine(kit)}${forged(kit).replace(ASSERTION, 'urn:mallory')}`),
  },
  {
    name: 'a signature of another namespace',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(
        kit,
        forged(kit).replace(
          '</saml:Issuer>',
          `</saml:Issuer>${signatureOf(genuine(kit)).replaceAll(DSIG, 'urn:mallory')}`,
        ),
      ),
  },
  {
    name: 'a NameID of another namespace before the right one',
    rule: 'structure',
    document: says(swap('<saml:NameID', `<m:NameID xmlns:m="urn:mallory">${VICTIM}</m:NameID><saml:NameID`)),
  },
  {
    name: 'a prefix that means something else inside',
    rule: 'structure',
    document: (kit) =>
      inEnvelope(kit, genuine(kit)).replace('<samlp:Status>', '<samlp:Status xmlns:samlp="urn:mallory">'),
  },
  {
    name: 'a default namespace that hides the assertion',
    rule: 'structure',
    document: (kit) => inEnvelope(kit, `<Assertion xmlns="urn:mallory" ID="_x">${genuine(kit)}</Assertion>`),
  },
];
