import type { Profile } from './patch-steps.ts';
import type { Rewrite } from './rewrites.ts';

/** The profiles that a connection may have, each with what its clients are known to send beside RFC 7644. */
export const SCIM_PROFILES = [
  'strict',
  'okta_oin',
  'okta_aiw',
  'entra',
  'entra_flagged',
  'google',
  'onelogin',
  'jumpcloud',
  'ping',
] as const;

/** The name of a profile. */
export type ScimProfile = (typeof SCIM_PROFILES)[number];

/** Tells whether a text is the name of a profile. */
export function isScimProfile(text: string): text is ScimProfile {
  return (SCIM_PROFILES as readonly string[]).includes(text);
}

/** How the client of a profile is understood. */
export interface ProfileRow {
  /** How its PATCH operations are applied. */
  readonly engine: Profile;
  readonly rewrites: ReadonlySet<Rewrite>;
}

/** What no provisioning client should fail for: a deactivation beside it would fail too. */
const TOLERATED: readonly Rewrite[] = [
  'op_case',
  'schemas_added',
  'unknown_dropped',
  'read_only_dropped',
  'password_dropped',
  'blank_required_kept',
  'blank_as_null',
  'string_boolean',
  'dotted_key',
  'urn_key',
  'unqualified_extension',
];

/** Entra's default mode and the flag's: on-demand provisioning ignores the flag, so both take the forms of both. */
const ENTRA: readonly Rewrite[] = [
  ...TOLERATED,
  'legacy_schema',
  'string_number',
  'bare_value',
  'wrapped_value',
  'list_as_single',
  'single_as_list',
  'packed_role',
  'path_as_key',
  'remove_by_value',
  'replace_as_add',
  'unquoted_literal',
  'element_sub_filter',
];

/** What each profile takes. */
export const PROFILES: Readonly<Record<ScimProfile, ProfileRow>> = {
  strict: { engine: 'strict', rewrites: new Set() },
  okta_oin: { engine: 'okta', rewrites: new Set(TOLERATED) },
  okta_aiw: { engine: 'okta', rewrites: new Set([...TOLERATED, 'single_as_list']) },
  entra: { engine: 'entra', rewrites: new Set(ENTRA) },
  entra_flagged: { engine: 'entra', rewrites: new Set(ENTRA) },
  google: { engine: 'okta', rewrites: new Set([...TOLERATED, 'single_as_list']) },
  onelogin: { engine: 'okta', rewrites: new Set([...TOLERATED, 'single_as_list', 'bare_value', 'remove_by_value']) },
  jumpcloud: { engine: 'okta', rewrites: new Set([...TOLERATED, 'single_as_list', 'bare_value', 'remove_by_value']) },
  ping: { engine: 'okta', rewrites: new Set([...TOLERATED, 'unquoted_literal', 'single_as_list', 'remove_by_value']) },
};
