import type { AssertedPerson } from '../connections/admission.ts';
import type { IdentityConnection } from '../connections/model.ts';
import type { OidcSettings } from './settings.ts';

/** Claims by name, as an ID token or a userinfo answer holds them. */
export type Claims = Readonly<Record<string, unknown>>;

/** Where claims of a person come from. */
export interface PersonClaims {
  readonly idToken: Claims;
  /** Null where nobody asked. */
  readonly userinfo: Claims | null;
}

/** Tells whether an ID token leaves something open that the userinfo endpoint may know. */
export function isIncomplete(
  { groupsAttribute }: Pick<IdentityConnection, 'groupsAttribute'>,
  { emailClaim, emailVerifiedClaim, nameClaim }: OidcSettings,
  idToken: Claims,
): boolean {
  const wanted = [emailClaim, emailVerifiedClaim, nameClaim, ...(groupsAttribute === null ? [] : [groupsAttribute])];
  return wanted.some((name) => claimOf(idToken, name) === undefined);
}

/**
 * Returns who the claims speak of. The ID token goes first; an address and the word that it is verified are taken from the
 * same source, so that the one never vouches for what the other says.
 */
export function assertedPerson(
  connection: IdentityConnection,
  settings: OidcSettings,
  { idToken, userinfo }: PersonClaims,
): AssertedPerson {
  const sources = [idToken, userinfo ?? {}];
  const { emailClaim, emailVerifiedClaim, nameClaim } = settings;
  const withEmail = sources.filter((claims) => textOf(claimOf(claims, emailClaim)) !== null);
  const source = withEmail.find((claims) => claimOf(claims, emailVerifiedClaim) !== undefined) ?? withEmail[0] ?? {};
  const groups = connection.groupsAttribute;
  return {
    connection,
    subject: textOf(idToken['sub']) ?? '',
    email: textOf(claimOf(source, emailClaim)),
    emailVerified: isTrue(claimOf(source, emailVerifiedClaim)),
    displayName: firstOf(sources, (claims) => textOf(claimOf(claims, nameClaim))),
    groups: groups === null ? null : firstOf(sources, (claims) => groupsOf(claimOf(claims, groups))),
  };
}

/** A claim by its name, dots and all; else by its path, such as `realm_access.roles`. */
function claimOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Claims)[part];
  }
  return value;
}

/** Cognito and Entra write it as a text or a number. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true' || value === 1 || value === '1';
}

/** A list of names, one name alone, or an object whose keys are names (ZITADEL); null for anything else. */
function groupsOf(value: unknown): readonly string[] | null {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.filter((name) => typeof name === 'string');
  return typeof value === 'object' && value !== null ? Object.keys(value) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

function firstOf<T>(sources: readonly Claims[], read: (claims: Claims) => T | null): T | null {
  for (const claims of sources) {
    const value = read(claims);
    if (value !== null) return value;
  }
  return null;
}
