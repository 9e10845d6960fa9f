import type { Profile } from './patch-steps.ts';

/**
 * How every provisioning client is understood. One reading serves Okta and Entra alike: where their requests and
 * RFC 7644 part, `entra` takes what `okta` takes and also creates the element that a `replace` selects in vain, which
 * Entra relies on for work addresses and telephone numbers. Nothing that the strict reading takes means anything else
 * here: that one only refuses more.
 */
export const SCIM_PROFILE: Profile = 'entra';
