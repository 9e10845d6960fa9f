import { createHmac } from 'node:crypto';
import { assertionXml, responseXml, sign, type Said, type TestIdp } from './saml-identity-provider.ts';

/** What the attacks are made from: a right answer to the request of the victim's browser, and keys. */
export interface AttackKit {
  readonly said: Said;
  /** The identity provider of the connection, as far as it can be made to sign. */
  readonly idp: TestIdp;
  /** An identity provider that the connection does not know. */
  readonly mallory: TestIdp;
  /** Our certificate, which everybody has. */
  readonly certificate: string;
}

/** A hostile document, and the rule that refuses it. */
export interface Attack {
  readonly name: string;
  readonly rule: string;
  readonly document: (kit: AttackKit) => string;
}

/** Whom the attacker would like to be. */
export const VICTIM = 'ada@acme.example';
/** The id of what she forges. */
export const EVIL = '_evil';
/** Inclusive canonicalization. */
export const C14N = 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315';
/** Exclusive canonicalization. */
export const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
/** The transform that takes the signature out of what it signs. */
export const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';
/** The namespace of signatures, which the names of the oldest algorithms begin with. */
export const DSIG = 'http://www.w3.org/2000/09/xmldsig#';
/** What the names of later algorithms begin with. */
export const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
/** The namespace of assertions. */
export const ASSERTION = 'urn:oasis:names:tc:SAML:2.0:assertion';
/** The status of a sign-in. */
export const SUCCESS = 'urn:oasis:names:tc:SAML:2.0:status:Success';
/** The class of the authentication. */
export const PASSWORD = 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport';

/** The signed assertion of the attacker herself, in the name of `said`. */
export function genuine({ said, idp }: AttackKit): string {
  return sign(assertionXml(said), said.assertionId, idp);
}

/** What she would like to have been signed: the same, in the name of the victim. */
export function forged({ said }: AttackKit, id: string = EVIL): string {
  return assertionXml({ ...said, assertionId: id, nameId: VICTIM, attributes: { email: [VICTIM] } });
}

/** Returns the first signature of a document, as it stands. */
export function signatureOf(xml: string): string {
  return /<ds:Signature .*?<\/ds:Signature>/s.exec(xml)?.[0] ?? '';
}

/** Returns a response around what is inside. */
export function inEnvelope(kit: AttackKit, inside: string): string {
  return responseXml(kit.said, inside);
}

/** The identity provider signs an assertion that is changed before: what it says is not right for us. */
export function says(change: (assertion: string, kit: AttackKit) => string): Attack['document'] {
  return (kit) => inEnvelope(kit, sign(change(assertionXml(kit.said), kit), kit.said.assertionId, kit.idp));
}

/** The whole response is signed, after a change of it. */
export function saysAll(change: (response: string, kit: AttackKit) => string): Attack['document'] {
  return (kit) => sign(change(inEnvelope(kit, assertionXml(kit.said)), kit), kit.said.responseId, kit.idp);
}

/** A right, signed document that is changed afterwards. */
export function changes(change: (document: string, kit: AttackKit) => string): Attack['document'] {
  return (kit) => change(inEnvelope(kit, genuine(kit)), kit);
}

/** A right assertion that is signed in another way. */
export function signedWith(signing: Parameters<typeof sign>[3]): Attack['document'] {
  return ({ said, idp }) => responseXml(said, sign(assertionXml(said), said.assertionId, idp, signing));
}

/** Puts a text behind another one. */
export function put(behind: string, what: string): (text: string) => string {
  return (text) => text.replace(behind, `${behind}${what}`);
}

/** Puts a text in the place of another one. */
export function swap(from: string | RegExp, to: string): (text: string) => string {
  return (text) => text.replace(from, () => to);
}

/** A signed answer to this request, or to none. */
export function answering(kit: AttackKit, inResponseTo: string | null): string {
  const said = { ...kit.said, inResponseTo };
  return responseXml(said, sign(assertionXml(said), said.assertionId, kit.idp));
}

/** A signed assertion of this NameID. */
export function named(nameId: string): Attack['document'] {
  return ({ said, idp }) => responseXml(said, sign(assertionXml({ ...said, nameId }), said.assertionId, idp));
}

/** A signed assertion of these addresses. */
export function mailed(email: readonly string[], nameId = 'u-2'): Attack['document'] {
  return ({ said, idp }) => {
    const changed = { ...said, nameId, nameIdFormat: null, attributes: { email } };
    return responseXml(changed, sign(assertionXml(changed), said.assertionId, idp));
  };
}

/** A forged response around the signed one, whose signature moves over with what is made of both. */
export function wrapResponse(kit: AttackKit, place: (original: string, signature: string) => string): string {
  const signed = sign(inEnvelope(kit, assertionXml(kit.said)), kit.said.responseId, kit.idp);
  const signature = signatureOf(signed);
  const forgery = responseXml({ ...kit.said, responseId: EVIL }, forged(kit, '_evil2'));
  return forgery.replace('<samlp:Status>', () => `${place(signed.replace(signature, ''), signature)}<samlp:Status>`);
}

/** The signature of the genuine assertion in a forged one, with something at its end. */
export function withSignature(kit: AttackKit, assertion: string, inside = ''): string {
  const signature = signatureOf(genuine(kit)).replace('</ds:Signature>', () => `${inside}</ds:Signature>`);
  return assertion.replace('</saml:Issuer>', () => `</saml:Issuer>${signature}`);
}

/** The certificate is public: who takes its text for a shared secret believes everybody. */
export function hmac(method: string, hash: string): Attack['document'] {
  return (kit) => {
    const signed = sign(forged(kit), EVIL, kit.mallory).replace(`${MORE}rsa-sha256`, method);
    const info = /<ds:SignedInfo>.*<\/ds:SignedInfo>/s.exec(signed)?.[0] ?? '';
    const canonical = info.replace('<ds:SignedInfo>', `<ds:SignedInfo xmlns:ds="${DSIG}">`);
    const value = createHmac(hash, kit.idp.certificate).update(canonical).digest('base64');
    return inEnvelope(kit, signed.replace(/<ds:SignatureValue>[^<]*/, `<ds:SignatureValue>${value}`));
  };
}
