import { refuse, type SamlReason } from './refusal.ts';
import type { SignedAssertion } from './signed-assertion.ts';
import { attribute, child, childOrNull, childrenNamed, textOf, type XmlElement } from './xml-document.ts';
import { NS } from './xml-names.ts';

/** What an assertion has to say to be for us (Web Browser SSO profile, saml-profiles-2.0 section 4.1.4). */
export interface ExpectedAssertion {
  /** The entity id of the identity provider. */
  readonly issuer: string;
  /** Our entity id for this connection. */
  readonly audience: string;
  /** Our address for this connection, to which responses are posted. */
  readonly recipient: string;
  readonly now: Date;
}

/** Who signed in, in the words of the identity provider, all of it signed. */
export interface SamlIdentity {
  readonly assertionId: string;
  /** From then on the assertion would be refused for its age, whatever the skew. */
  readonly usableUntil: Date;
  /** The request it answers; null where it answers none. */
  readonly inResponseTo: string | null;
  readonly nameId: string;
  readonly nameIdFormat: string | null;
  /** The session at the identity provider. */
  readonly sessionIndex: string | null;
  /** The class of the authentication, as a URI. */
  readonly authnContext: string | null;
  /** Values by the name of the attribute, in the order of the document. */
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

/** Clocks of two services differ by this much at most. */
export const CLOCK_SKEW_MS = 60_000;
/** However long an identity provider says that its assertion lasts, nobody takes this long to bring it. */
const MAX_AGE_MS = 15 * 60_000;
const BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer';
const ENTITY = 'urn:oasis:names:tc:SAML:2.0:nameid-format:entity';
const MAX_SUBJECT_LENGTH = 1_024;
const MAX_VALUE_LENGTH = 4_096;
const INSTANT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)$/;
/** Characters that are not seen, or that make others look as if they stood elsewhere. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** Reads who signed in; an assertion that is not for us, here and now, is refused. Whether it was asked for or used before is not judged. */
export function readIdentity({ response, assertion }: SignedAssertion, expected: ExpectedAssertion): SamlIdentity {
  requireEnvelope(response, expected);
  if (attribute(assertion, 'Version') !== '2.0') refuse('structure', 'another version');
  requireIssuer(child(assertion, [NS.assertion, 'Issuer'], 'issuer'), expected.issuer);
  const issuedAt = instantOf(assertion, 'IssueInstant') ?? refuse('structure', 'no IssueInstant');
  if (expected.now.getTime() + CLOCK_SKEW_MS < issuedAt) refuse('not_yet_valid', 'issued in the future');
  if (expected.now.getTime() - CLOCK_SKEW_MS >= issuedAt + MAX_AGE_MS) refuse('expired', 'issued too long ago');
  const subject = child(assertion, [NS.assertion, 'Subject'], 'subject');
  const confirmation = requireConfirmation(subject, expected);
  requireConditions(child(assertion, [NS.assertion, 'Conditions'], 'audience'), expected);
  const statement = requireStatement(assertion, expected.now);
  if (confirmation.inResponseTo !== attribute(response, 'InResponseTo')) refuse('request', 'two answers');
  return {
    assertionId: attribute(assertion, 'ID') ?? refuse('structure', 'no ID'),
    usableUntil: new Date(Math.min(issuedAt + MAX_AGE_MS, confirmation.notOnOrAfter) + CLOCK_SKEW_MS),
    inResponseTo: confirmation.inResponseTo,
    ...nameIdOf(subject),
    ...statement,
    attributes: attributesOf(assertion),
  };
}

/** The envelope is often unsigned: what it says can refuse, never let in. */
function requireEnvelope(response: XmlElement, { issuer, recipient }: ExpectedAssertion): void {
  if (attribute(response, 'Version') !== '2.0') refuse('structure', 'another version');
  const named = childOrNull(response, NS.assertion, 'Issuer');
  if (named !== null) requireIssuer(named, issuer);
  const destination = attribute(response, 'Destination');
  if (destination !== null && destination !== recipient) refuse('destination', 'another address');
}

function requireIssuer(element: XmlElement, issuer: string): void {
  const format = attribute(element, 'Format');
  if (textOf(element) !== issuer || (format !== null && format !== ENTITY))
    refuse('issuer', 'another identity provider');
}

/** One confirmation, by whoever brings it, to this address, in time. */
function requireConfirmation(
  subject: XmlElement,
  { recipient, now }: ExpectedAssertion,
): { readonly inResponseTo: string | null; readonly notOnOrAfter: number } {
  const confirmations = childrenNamed(subject, NS.assertion, 'SubjectConfirmation');
  const [confirmation] = confirmations;
  if (confirmation === undefined || confirmations.length > 1) return refuse('confirmation', 'not exactly one');
  if (attribute(confirmation, 'Method') !== BEARER) refuse('confirmation', 'not bearer');
  const data = child(confirmation, [NS.assertion, 'SubjectConfirmationData'], 'confirmation');
  if (attribute(data, 'Recipient') !== recipient) refuse('recipient', 'another address');
  // The profile forbids NotBefore here; a provider that sends it all the same means it.
  requireTimes(data, now);
  const notOnOrAfter = instantOf(data, 'NotOnOrAfter') ?? refuse('expired', 'a confirmation without an end');
  return { inResponseTo: attribute(data, 'InResponseTo'), notOnOrAfter };
}

function requireConditions(conditions: XmlElement, { audience, now }: ExpectedAssertion): void {
  requireTimes(conditions, now);
  const restrictions = childrenNamed(conditions, NS.assertion, 'AudienceRestriction');
  if (restrictions.length === 0) refuse('audience', 'for anybody');
  // Each restriction is a condition of its own: all of them have to name us (saml-core-2.0 section 2.5.1.4).
  for (const restriction of restrictions) {
    const names = childrenNamed(restriction, NS.assertion, 'Audience').map(textOf);
    if (!names.includes(audience)) refuse('audience', 'for somebody else');
  }
}

function requireTimes(element: XmlElement, now: Date): void {
  const [notBefore, notOnOrAfter] = [instantOf(element, 'NotBefore'), instantOf(element, 'NotOnOrAfter')];
  if (notBefore !== null && now.getTime() + CLOCK_SKEW_MS < notBefore) refuse('not_yet_valid', 'not valid yet');
  if (notOnOrAfter !== null && now.getTime() - CLOCK_SKEW_MS >= notOnOrAfter) refuse('expired', 'not valid any more');
}

function requireStatement(assertion: XmlElement, now: Date): Pick<SamlIdentity, 'sessionIndex' | 'authnContext'> {
  const [statement] = childrenNamed(assertion, NS.assertion, 'AuthnStatement');
  if (statement === undefined) return refuse('statement', 'nobody signed in');
  const authenticatedAt = instantOf(statement, 'AuthnInstant') ?? refuse('statement', 'no AuthnInstant');
  if (now.getTime() + CLOCK_SKEW_MS < authenticatedAt) refuse('not_yet_valid', 'signed in in the future');
  const end = instantOf(statement, 'SessionNotOnOrAfter');
  if (end !== null && now.getTime() - CLOCK_SKEW_MS >= end) refuse('session_ended', 'the session has ended');
  const context = childOrNull(statement, NS.assertion, 'AuthnContext');
  const reference = context === null ? null : childOrNull(context, NS.assertion, 'AuthnContextClassRef');
  return {
    sessionIndex: bounded(attribute(statement, 'SessionIndex'), 'statement'),
    authnContext: bounded(reference === null ? null : textOf(reference), 'statement'),
  };
}

function nameIdOf(subject: XmlElement): Pick<SamlIdentity, 'nameId' | 'nameIdFormat'> {
  const element = child(subject, [NS.assertion, 'NameID'], 'subject');
  const nameId = textOf(element);
  if (nameId === '' || nameId.trim() !== nameId || UNSEEN.test(nameId) || nameId.length > MAX_SUBJECT_LENGTH)
    refuse('subject', 'a NameID that cannot be read in one way');
  return { nameId, nameIdFormat: bounded(attribute(element, 'Format'), 'subject') };
}

/** Keycloak says each role in an attribute of its own, all of one name. */
function attributesOf(assertion: XmlElement): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>();
  for (const statement of childrenNamed(assertion, NS.assertion, 'AttributeStatement'))
    for (const element of childrenNamed(statement, NS.assertion, 'Attribute')) {
      const name = attribute(element, 'Name') ?? refuse('structure', 'an attribute without a name');
      const more = childrenNamed(element, NS.assertion, 'AttributeValue').map(valueOf);
      values.set(name, [...(values.get(name) ?? []), ...more]);
    }
  return values;
}

/** A persistent id comes as a NameID inside (eduPersonTargetedID). */
function valueOf(element: XmlElement): string {
  const inner = childOrNull(element, NS.assertion, 'NameID');
  return bounded(textOf(inner ?? element), 'structure').trim();
}

function bounded(text: string, reason: SamlReason): string;
function bounded(text: string | null, reason: SamlReason): string | null;
function bounded(text: string | null, reason: SamlReason): string | null {
  if (text !== null && text.length > MAX_VALUE_LENGTH) refuse(reason, 'too long');
  return text;
}

/** Times are in UTC (saml-core-2.0 section 1.3.3); a text that is no such time is refused. */
function instantOf(element: XmlElement, name: string): number | null {
  const text = attribute(element, name);
  if (text === null) return null;
  const [, seconds = '', fraction = ''] = INSTANT.exec(text) ?? refuse('structure', 'a time that is none');
  const time = Date.parse(`${seconds}.${fraction.slice(0, 3).padEnd(3, '0')}Z`);
  return Number.isNaN(time) ? refuse('structure', 'a time that is none') : time;
}
