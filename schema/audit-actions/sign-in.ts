import type { ActionRows } from './action.ts';
import { choice, count, flag, id, list, object, optional, personal, text, time, type Fields } from './field.ts';

const method = choice('sign_in_link', 'oidc', 'saml', 'passkey', 'totp', 'recovery_code', 'demo');

const policy = object({
  local_methods: list(choice('sign_in_link', 'passkey'), 2),
  require_second_factor: flag,
});

const factor: Fields = { user: id('usr'), kind: choice('passkey', 'totp') };

/** Sessions, the ways into them, and what people hold to sign in with. */
export const signInActions: ActionRows = {
  'session.create': {
    version: 1,
    about: 'A person signed in; `amr` says how, in the words of RFC 8176.',
    resource: ['session'],
    resourceName: 'plain',
    context: {
      user: id('usr'),
      method,
      amr: list(text(64), 20),
      connection: optional(id('con')),
      factor: optional(id('fct')),
      sign_in_link: optional(id('lnk')),
      idp_initiated: optional(flag),
    },
  },
  'session.end': {
    version: 1,
    about: 'A session ended: its person signed out, her identity provider said so, or a one-time token came twice.',
    resource: ['session'],
    resourceName: 'plain',
    context: {
      cause: choice('sign_out', 'back_channel_logout', 'caep_session_revoked', 'code_reuse', 'refresh_reuse'),
      connection: optional(id('con')),
    },
  },
  'session.revoke': {
    version: 1,
    about: "A person's session was ended by somebody who may; with `factors_reset` because her factors were reset.",
    resource: ['session'],
    resourceName: 'plain',
    context: { user: id('usr'), reason: optional(choice('factors_reset')) },
  },
  'sign_in.refuse': {
    version: 1,
    about: 'A sign-in was refused; the log is told why, and whoever tried is not.',
    resource: ['user', 'identity_connection'],
    resourceName: 'plain',
    context: {
      reason: choice(
        'unknown_flow',
        'provider_refused',
        'provider_unavailable',
        'invalid_assertion',
        'replayed_assertion',
        'no_email',
        'unverified_email',
        'foreign_domain',
        'unknown_person',
        'inactive_person',
        'ambiguous_person',
        'other_subject',
        'sso_enforced',
        'challenge_unknown',
        'challenge_used',
        'credential_unknown',
        'response_invalid',
        'counter_regressed',
        'code_wrong',
        'code_used',
        'method_not_allowed',
        'user_inactive',
      ),
      method: optional(method),
      user: optional(id('usr')),
      factor: optional(id('fct')),
      rule: optional(text(100)),
      step: optional(choice('discovery', 'authorization', 'token')),
      error: optional(text(100)),
    },
  },
  'sign_in.lock': {
    version: 1,
    about: 'Too many sign-ins failed: of a person, or from the network `address` (an IPv6 one by its first 64 bits).',
    resource: ['user'],
    resourceName: 'plain',
    context: { address: optional(personal('resource', text(64))), failures: count, until: time },
  },
  'sign_in.unlock': {
    version: 1,
    about: 'A person who had failed too often may try again at once.',
    resource: ['user'],
    resourceName: 'resource',
    context: {},
  },
  'sign_in_policy.change': {
    version: 1,
    about: 'It was changed how people may sign in without an identity provider.',
    resource: ['sign_in_policy'],
    resourceName: 'plain',
    context: { from: policy, to: policy },
  },
  'factor.enrol': {
    version: 1,
    about: 'A person began to set up an authenticator application; it does not count yet.',
    resource: ['factor'],
    resourceName: 'context.user',
    context: factor,
  },
  'factor.create': {
    version: 1,
    about: 'A person has a new passkey or authenticator application.',
    resource: ['factor'],
    resourceName: 'context.user',
    context: {
      ...factor,
      aaguid: optional(text(36)),
      device_type: optional(choice('singleDevice', 'multiDevice')),
    },
  },
  'factor.rename': {
    version: 1,
    about: 'A person gave a factor of hers another name.',
    resource: ['factor'],
    resourceName: 'context.user',
    context: factor,
  },
  'factor.remove': {
    version: 1,
    about: 'A person removed a factor of hers.',
    resource: ['factor'],
    resourceName: 'context.user',
    context: factor,
  },
  'factors.reset': {
    version: 1,
    about:
      "All factors of a person were removed and her sessions ended, by somebody who holds all of that person's rights.",
    resource: ['user'],
    resourceName: 'resource',
    context: { factors: count, sessions: count },
  },
  'recovery_codes.create': {
    version: 1,
    about: 'A person was shown new recovery codes; earlier ones ended.',
    resource: ['user'],
    resourceName: 'plain',
    context: { codes: count },
  },
  'recovery_code.use': {
    version: 1,
    about: 'A recovery code was used up.',
    resource: ['user'],
    resourceName: 'plain',
    context: { left: count },
  },
  'break_glass.add': {
    version: 1,
    about: 'A person was named who may sign in without single sign-on where everybody else may not.',
    resource: ['user'],
    resourceName: 'resource',
    context: {},
  },
  'break_glass.remove': {
    version: 1,
    about: 'A person may break the glass no more.',
    resource: ['user'],
    resourceName: 'resource',
    context: {},
  },
  'break_glass.use': {
    version: 1,
    about: 'A person signed in without single sign-on, as only those named for break-glass may.',
    resource: ['user'],
    resourceName: 'plain',
    context: { method },
  },
};
