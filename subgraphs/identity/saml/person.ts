import { isEmail } from 'class-validator';
import { refuse } from './refusal.ts';
import type { SamlIdentity } from './profile.ts';

/** The attribute names of a connection; null looks among the names that identity providers use by themselves. */
export interface AttributeNames {
  readonly email: string | null;
  readonly displayName: string | null;
  readonly groups: string | null;
}

/** A person as a sign-in over SAML describes her. */
export interface SamlPerson {
  /** Stays the same from one sign-in to the next. */
  readonly subject: string;
  readonly email: string;
  readonly displayName: string;
  /** Null where the connection reads none, or the assertion says nothing of them. */
  readonly groups: readonly string[] | null;
}

const EMAIL_NAMES = [
  'email',
  'mail',
  'emailAddress',
  'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress',
  'urn:oid:0.9.2342.19200300.100.1.3',
  'urn:oid:1.2.840.113549.1.9.1',
];
const DISPLAY_NAMES = [
  'displayName',
  'name',
  'http://schemas.microsoft.com/identity/claims/displayname',
  'urn:oid:2.16.840.1.113730.3.1.241',
  'cn',
  'urn:oid:2.5.4.3',
];
const GIVEN_NAMES = [
  'firstName',
  'givenName',
  'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname',
  'urn:oid:2.5.4.42',
];
const FAMILY_NAMES = [
  'lastName',
  'sn',
  'surname',
  'http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname',
  'urn:oid:2.5.4.4',
];
/** A name for one session; the next one has another. */
const TRANSIENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient';
const EMAIL_FORMAT = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';
const MAX_NAME_LENGTH = 200;
/** Letters of other alphabets look like these, and an address that looks like another one is not told apart. */
const PLAIN_ADDRESS = /^[\x21-\x7e]{3,320}$/;

/**
 * Returns the person an assertion speaks of. Without an address that an attribute or the NameID gives, it is refused
 * (`email`); so is one with letters beyond ASCII, which may look like somebody else's.
 */
export function personOf(identity: SamlIdentity, names: AttributeNames): SamlPerson {
  const email = emailOf(identity, names.email);
  return {
    subject: identity.nameIdFormat === TRANSIENT ? `email:${email.toLowerCase()}` : identity.nameId,
    email,
    displayName: (displayNameOf(identity, names.displayName) ?? email).slice(0, MAX_NAME_LENGTH),
    groups: names.groups === null ? null : (identity.attributes.get(names.groups) ?? null),
  };
}

function emailOf(identity: SamlIdentity, name: string | null): string {
  const [named = null, ...others] = valuesOf(identity, name === null ? EMAIL_NAMES : [name]);
  const email = named ?? (name === null ? addressInNameId(identity) : null);
  if (others.length > 0 || email === null || !PLAIN_ADDRESS.test(email) || !isEmail(email))
    return refuse('email', 'not exactly one usable address');
  return email;
}

function displayNameOf(identity: SamlIdentity, name: string | null): string | null {
  const [display] = valuesOf(identity, name === null ? DISPLAY_NAMES : [name]);
  const parts = [GIVEN_NAMES, FAMILY_NAMES].flatMap((names) => valuesOf(identity, names).slice(0, 1));
  return display ?? (parts.length === 0 ? null : parts.join(' '));
}

/** The values of the first of these attributes that has any. */
function valuesOf({ attributes }: SamlIdentity, candidates: readonly string[]): readonly string[] {
  for (const candidate of candidates) {
    const values = (attributes.get(candidate) ?? []).filter((value) => value !== '');
    if (values.length > 0) return values;
  }
  return [];
}

function addressInNameId({ nameId, nameIdFormat }: SamlIdentity): string | null {
  return nameIdFormat === EMAIL_FORMAT || nameId.includes('@') ? nameId : null;
}
