import {
  PASSWORD,
  SUCCESS,
  VICTIM,
  answering,
  changes,
  inEnvelope,
  mailed,
  named,
  says,
  saysAll,
  swap,
  type Attack,
} from './saml-attack-kit.ts';
import { assertionXml, at, sign } from './saml-identity-provider.ts';

const AUDIENCE = /<saml:AudienceRestriction>.*<\/saml:AudienceRestriction>/;

/** Rightly signed, and not for us, here and now. */
export const CLAIMS: readonly Attack[] = [
  {
    name: 'another audience',
    rule: 'audience',
    document: says(
      swap(
        AUDIENCE,
        '<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>',
      ),
    ),
  },
  { name: 'no audience', rule: 'audience', document: says(swap(AUDIENCE, '')) },
  { name: 'an empty audience', rule: 'audience', document: says(swap(AUDIENCE, '<saml:AudienceRestriction/>')) },
  {
    name: 'our audience, and a restriction to another',
    rule: 'audience',
    document: says((text) =>
      text.replace(
        '</saml:Conditions>',
        '<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction></saml:Conditions>',
      ),
    ),
  },
  {
    name: 'an audience that starts like ours',
    rule: 'audience',
    document: says(swap('</saml:Audience>', '.mallory.example</saml:Audience>')),
  },
  { name: 'no conditions', rule: 'audience', document: says(swap(/<saml:Conditions.*<\/saml:Conditions>/, '')) },
  {
    name: 'two sets of conditions',
    rule: 'structure',
    document: says((text) => text.replace(/(<saml:Conditions.*<\/saml:Conditions>)/, '$1$1')),
  },
  {
    name: 'conditions that are over',
    rule: 'expired',
    document: says((text, { said }) =>
      text.replace(/(<saml:Conditions[^>]*NotOnOrAfter=")[^"]*/, `$1${at(said.now, -61_000)}`),
    ),
  },
  {
    name: 'conditions that are to come',
    rule: 'not_yet_valid',
    document: says((text, { said }) =>
      text.replace(/(<saml:Conditions NotBefore=")[^"]*/, `$1${at(said.now, 61_000)}`),
    ),
  },
  {
    name: 'a confirmation that is over, conditions that are not',
    rule: 'expired',
    document: says((text, { said }) =>
      text.replace(/(<saml:SubjectConfirmationData NotOnOrAfter=")[^"]*/, `$1${at(said.now, -61_000)}`),
    ),
  },
  {
    name: 'a confirmation without an end',
    rule: 'expired',
    document: says(swap(/(?<=<saml:SubjectConfirmationData) NotOnOrAfter="[^"]*"/, '')),
  },
  {
    name: 'a confirmation that is to come',
    rule: 'not_yet_valid',
    document: says((text, { said }) =>
      text.replace(
        '<saml:SubjectConfirmationData ',
        `<saml:SubjectConfirmationData NotBefore="${at(said.now, 61_000)}" `,
      ),
    ),
  },
  {
    name: 'issued sixteen minutes ago, valid for a day',
    rule: 'expired',
    document: says((text, { said }) =>
      text
        .replaceAll(/NotOnOrAfter="[^"]*"/g, `NotOnOrAfter="${at(said.now, 86_400_000)}"`)
        .replace(/IssueInstant="[^"]*"/, `IssueInstant="${at(said.now, -961_000)}"`),
    ),
  },
  {
    name: 'issued in the future',
    rule: 'not_yet_valid',
    document: says((text, { said }) => text.replace(/IssueInstant="[^"]*"/, `IssueInstant="${at(said.now, 61_000)}"`)),
  },
  {
    name: 'a time without a zone',
    rule: 'structure',
    document: says((text) => text.replace(/(<saml:Conditions[^>]*NotOnOrAfter="[^"]*)Z/, '$1')),
  },
  {
    name: 'a time that is none',
    rule: 'structure',
    document: says((text) => text.replace(/(<saml:Conditions[^>]*NotOnOrAfter=")[^"]*/, '$19999')),
  },
  {
    name: 'another recipient',
    rule: 'recipient',
    document: says((text) => text.replace(/Recipient="[^"]*"/, 'Recipient="https://other.example/acs"')),
  },
  { name: 'no recipient', rule: 'recipient', document: says((text) => text.replace(/ Recipient="[^"]*"/, '')) },
  {
    name: 'another destination',
    rule: 'destination',
    document: saysAll((text) => text.replace(/Destination="[^"]*"/, 'Destination="https://other.example/acs"')),
  },
  {
    name: 'another destination, unsigned',
    rule: 'destination',
    document: changes((text) => text.replace(/Destination="[^"]*"/, 'Destination="https://other.example/acs"')),
  },
  {
    name: 'another issuer of the assertion',
    rule: 'issuer',
    document: says(swap(/<saml:Issuer>[^<]*/, '<saml:Issuer>https://other.example')),
  },
  {
    name: 'another issuer of the response',
    rule: 'issuer',
    document: changes((text) => text.replace(/(<saml:Issuer xmlns[^>]*>)[^<]*/, '$1https://other.example')),
  },
  {
    name: 'no issuer of the assertion',
    rule: 'issuer',
    document: (kit) =>
      sign(
        inEnvelope(kit, assertionXml(kit.said).replace(/<saml:Issuer>[^<]*<\/saml:Issuer>/, '')),
        kit.said.responseId,
        kit.idp,
      ),
  },
  { name: 'an issuer with a space', rule: 'issuer', document: says(swap('</saml:Issuer>', ' </saml:Issuer>')) },
  {
    name: 'an issuer of another format',
    rule: 'issuer',
    document: says(
      swap('<saml:Issuer>', '<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">'),
    ),
  },
  { name: 'holder of key', rule: 'confirmation', document: says(swap(':cm:bearer', ':cm:holder-of-key')) },
  { name: 'sender vouches', rule: 'confirmation', document: says(swap(':cm:bearer', ':cm:sender-vouches')) },
  {
    name: 'no confirmation',
    rule: 'confirmation',
    document: says(swap(/<saml:SubjectConfirmation .*<\/saml:SubjectConfirmation>/, '')),
  },
  {
    name: 'a confirmation without data',
    rule: 'confirmation',
    document: says(swap(/<saml:SubjectConfirmationData[^>]*>/, '')),
  },
  {
    name: 'two confirmations, one of them right',
    rule: 'confirmation',
    document: says((text) =>
      text.replace(
        /(<saml:SubjectConfirmation .*<\/saml:SubjectConfirmation>)/,
        (all) => `${all.replace(/Recipient="[^"]*"/, 'Recipient="https://other.example"')}${all}`,
      ),
    ),
  },
  {
    name: 'a status that is no success',
    rule: 'status',
    document: saysAll(swap(SUCCESS, 'urn:oasis:names:tc:SAML:2.0:status:Responder')),
  },
  {
    name: 'a status that is no success, with the reason',
    rule: 'status',
    document: saysAll(
      swap(
        `<samlp:StatusCode Value="${SUCCESS}"/>`,
        '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>',
      ),
    ),
  },
  {
    name: 'a success that is none inside',
    rule: 'status',
    document: saysAll(
      swap(
        `<samlp:StatusCode Value="${SUCCESS}"/>`,
        `<samlp:StatusCode Value="${SUCCESS}"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>`,
      ),
    ),
  },
  {
    name: 'two status codes',
    rule: 'structure',
    document: saysAll(swap('<samlp:StatusCode', '<samlp:StatusCode Value="urn:x"/><samlp:StatusCode')),
  },
  { name: 'no status', rule: 'status', document: saysAll(swap(/<samlp:Status>.*<\/samlp:Status>/, '')) },
  { name: 'another version', rule: 'structure', document: says(swap('Version="2.0"', 'Version="1.1"')) },
  {
    name: 'another version of the response',
    rule: 'structure',
    document: changes(swap('Version="2.0"', 'Version="3.0"')),
  },
  {
    name: 'nobody signed in',
    rule: 'statement',
    document: says(swap(/<saml:AuthnStatement.*<\/saml:AuthnStatement>/, '')),
  },
  {
    name: 'a session that has ended',
    rule: 'session_ended',
    document: says((text, { said }) =>
      text.replace(/SessionNotOnOrAfter="[^"]*"/, `SessionNotOnOrAfter="${at(said.now, -61_000)}"`),
    ),
  },
  {
    name: 'signed in in the future',
    rule: 'not_yet_valid',
    document: says((text, { said }) => text.replace(/AuthnInstant="[^"]*"/, `AuthnInstant="${at(said.now, 61_000)}"`)),
  },
  { name: 'no NameID', rule: 'subject', document: says(swap(/<saml:NameID.*<\/saml:NameID>/, '')) },
  {
    name: 'two NameIDs',
    rule: 'structure',
    document: says((text) => text.replace(/(<saml:NameID.*<\/saml:NameID>)/, '$1$1')),
  },
  {
    name: 'an element in the NameID',
    rule: 'structure',
    document: says(swap('</saml:NameID>', '<x xmlns="urn:mallory"/></saml:NameID>')),
  },
  {
    name: 'an address in two attributes of one name',
    rule: 'email',
    document: says((text) =>
      text.replace(
        /(<saml:Attribute Name="email">.*?<\/saml:Attribute>)/,
        `$1<saml:Attribute Name="email"><saml:AttributeValue>${VICTIM}</saml:AttributeValue></saml:Attribute>`,
      ),
    ),
  },
  {
    name: 'a decision statement of its own',
    rule: 'structure',
    document: says(
      swap('</saml:Assertion>', '<saml:AuthzDecisionStatement Resource="x" Decision="Permit"/></saml:Assertion>'),
    ),
  },
  {
    name: 'the class of the authentication from elsewhere',
    rule: 'structure',
    document: says(
      swap(
        `<saml:AuthnContextClassRef>${PASSWORD}</saml:AuthnContextClassRef>`,
        '<saml:AuthnContextDecl><x xmlns="urn:mallory"/></saml:AuthnContextDecl>',
      ),
    ),
  },
  {
    name: 'an answer to two requests',
    rule: 'request',
    document: changes((text, { said }) =>
      text.replace(`InResponseTo="${said.inResponseTo ?? ''}"`, 'InResponseTo="_other"'),
    ),
  },
  {
    name: 'an answer whose envelope answers nothing',
    rule: 'request',
    document: changes((text) => text.replace(/ InResponseTo="[^"]*"/, '')),
  },
  {
    name: 'an answer whose assertion answers nothing',
    rule: 'request',
    document: says((text) => text.replace(/ InResponseTo="[^"]*"/, '')),
  },
  {
    name: 'an answer to a request that nobody made',
    rule: 'unknown_flow',
    document: (kit) => answering(kit, '_unknown'),
  },
  { name: 'an answer to no request', rule: 'unsolicited', document: (kit) => answering(kit, null) },
];

/** Rightly signed, about somebody who cannot be told or is not let in. */
export const PEOPLE: readonly Attack[] = [
  { name: 'an empty NameID', rule: 'subject', document: named('') },
  { name: 'a NameID with a space before it', rule: 'subject', document: named(' bob@acme.example') },
  { name: 'a NameID with a line break behind it', rule: 'subject', document: named('bob@acme.example&#10;') },
  { name: 'a NameID with a character of no width', rule: 'subject', document: named('bob@acme.example\u200b') },
  { name: 'a NameID that turns the direction', rule: 'subject', document: named('\u202eelpmaxe.emca@bob') },
  { name: 'a NameID of 2,000 characters', rule: 'subject', document: named('x'.repeat(2_000)) },
  { name: 'an address with a letter of another alphabet', rule: 'email', document: mailed(['b\u043eb@acme.example']) },
  { name: 'a domain with a letter of another alphabet', rule: 'email', document: mailed(['bob@\u0430cme.example']) },
  { name: 'an address with a name before it', rule: 'email', document: mailed(['Bob &lt;bob@acme.example&gt;']) },
  { name: 'two addresses', rule: 'email', document: mailed(['mallory@acme.example', 'ada@acme.example'], 'u-1') },
  { name: 'two @', rule: 'email', document: mailed(['mallory@mallory.example@acme.example']) },
  {
    name: 'an address of a domain that the tenant has not proven',
    rule: 'foreign_domain',
    document: mailed(['bob@mallory.example'], 'bob@mallory.example'),
  },
  {
    name: 'an address below a proven domain',
    rule: 'foreign_domain',
    document: mailed(['bob@sub.acme.example'], 'bob@sub.acme.example'),
  },
  {
    name: 'nobody of that address',
    rule: 'unknown_person',
    document: mailed(['nobody@acme.example'], 'nobody@acme.example'),
  },
];
